"""Gram matrix distance (pairwise similarity distillation), without holding large matrices."""

# B batch, C, C' channels of student and teacher, M positions
# s [B, C, M], t [B, C', M]; the gradient of |s^T s - t^T t|^2 / 4 by s is s (s^T s - t^T t)

import torch
from torch import Tensor

from densekd.ops.attach_grad import attach_grad


def gram_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``|s^T s - t^T t|^2`` for each image.

    The distance of student's and teacher's similarities of any two positions.

    With more positions than channels, ``|s s^T|^2 - 2 |s t^T|^2 + |t t^T|^2`` is the same number
    without any M x M matrix. Its sums nearly cancel, so they are taken in float64. Peak memory
    beyond the inputs is the gradient and a matrix; one map is kept for the backward pass.

    Args:
        student: ``s [B, C, M]``, float32 or float64; gets a gradient.
        teacher: ``t [B, C', M]``; gets none.

    Returns:
        ``[B]``, >= 0 up to rounding.
    """
    s, t = student, teacher
    with torch.no_grad():
        if s.shape[2] <= s.shape[1] + t.shape[1]:
            # Few positions: the difference of the Gram matrices itself, [B, M, M].
            difference = (s.mT @ s).baddbmm_(t.mT, t, alpha=-1)
            value = _squared_norm(difference)
            grad = s @ difference
        else:
            # Many positions: products over positions, [B, C, C] and [B, C, C'].
            ss = s @ s.mT
            st = s @ t.mT
            value = _squared_norm(ss) - 2 * _squared_norm(st) + _squared_norm(t @ t.mT)
            grad = torch.bmm(ss, s).baddbmm_(st, t, alpha=-1)
        value = value.to(s.dtype)
    return attach_grad(value[:, None, None] / 4, student, grad).flatten() * 4


def _squared_norm(x: Tensor) -> Tensor:
    """Return the squared Frobenius norm of each matrix, in float64."""
    return x.square().sum((1, 2), dtype=torch.float64)
