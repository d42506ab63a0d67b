"""Distance of two Gram matrices, without holding the larger of them and with one map kept for the backward pass."""

import torch
from torch import Tensor

from densekd.kernels.attach_grad import attach_grad


def gram_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``|s^T s - t^T t|^2`` for each image: how differently both compare any two places.

    With more places than channels, ``|s s^T|^2 - 2 |s t^T|^2 + |t t^T|^2`` is the same number without any M x M matrix.
    Its sums nearly cancel, so they are taken in float64. Peak memory beyond the inputs is the gradient and a matrix.

    Args:
        student: ``s [B, C, M]``, float32 or float64; gets a gradient.
        teacher: ``t [B, C', M]``; gets none.

    Returns:
        ``[B]``, >= 0 up to rounding.
    """
    with torch.no_grad():
        s, t = student, teacher
        if s.shape[2] <= s.shape[1] + t.shape[1]:
            difference = (s.mT @ s).baddbmm_(t.mT, t, alpha=-1)
            value, slope = _energy(difference), s @ difference
        else:
            within, across = s @ s.mT, s @ t.mT
            value = _energy(within) - 2 * _energy(across) + _energy(t @ t.mT)
            slope = torch.bmm(within, s).baddbmm_(across, t, alpha=-1)
        value = value.to(s.dtype)
    return attach_grad(value[:, None, None] / 4, student, slope).flatten() * 4


def _energy(x: Tensor) -> Tensor:
    return x.square().sum((1, 2), dtype=torch.float64)
