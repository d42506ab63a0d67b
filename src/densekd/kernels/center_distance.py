"""Distance of two models' cosines between positions and the center of their class, with one map kept."""

import torch
from torch import Tensor

from densekd.kernels.attach_grad import attach_grad

_SHORTEST = 1e-8


def center_distance(student: Tensor, teacher: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Return ``sum_p (cos(f_p, c_p)(student) - cos(f_p, c_p)(teacher))^2``, c_p the mean of f over the class of p.

    Sums over a class are matrix products with its members, so that no map of centers is held. Peak memory beyond the
    inputs and the gradient is a few maps of ``num_classes`` channels; one map is kept for the backward pass.

    Args:
        student: ``[B, C, N]``, float32 or float64; gets a gradient.
        teacher: ``[B, C', N]``; gets none.
        labels: int64 ``[B, N]`` in ``0 .. num_classes - 1``, or -1 where a position is left out of sum and centers.
        num_classes: K.

    Returns:
        A scalar >= 0.
    """
    with torch.no_grad():
        members = (labels[:, None] == torch.arange(num_classes, device=labels.device)[:, None]).to(student.dtype)
        *_, goal = _cosines(teacher, members.to(teacher.dtype), labels)
        centers, lengths, norms, cosines = _cosines(student, members, labels)
        apart = (cosines - goal).where(labels >= 0, 0)
        # By the features with the centers fixed, then by the centers, which are means of features.
        pull = members * (2 * apart / norms)[:, None]
        slope = centers @ pull
        by_centre = student @ pull.mT
        by_length = (centers * by_centre).sum(1, keepdim=True).where(lengths > _SHORTEST, 0)
        by_centre = (by_centre - centers * by_length) / (lengths * _counts(members))
        slope.baddbmm_(by_centre, members)
        turn = (2 * apart * cosines / norms.square()).where(norms > _SHORTEST, 0)
        slope.addcmul_(student, turn[:, None], value=-1)
    return attach_grad(apart.square().sum(), student, slope)


def _cosines(x: Tensor, members: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return centers of length one and their lengths, the positions' lengths and their cosines to their center."""
    centers = x @ members.mT / _counts(members)
    lengths, norms = (y.square().sum(1, keepdim=True).sqrt().clamp(min=_SHORTEST) for y in (centers, x))
    centers, norms = centers / lengths, norms[:, 0]
    cosines = (centers.mT @ x).gather(1, labels.clamp(min=0)[:, None])[:, 0] / norms
    return centers, lengths, norms, cosines


def _counts(members: Tensor) -> Tensor:
    return members.sum(2)[:, None] + 1e-6
