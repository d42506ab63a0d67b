"""Class-center cosine distance (IFVD): similarities to class centers, one map kept."""

# B batch, C channels, N positions, K classes
# f features [B, C, N]; c the center of a class: the mean of f over its positions

import torch
from torch import Tensor

from densekd.ops.attach_grad import attach_grad

# Lengths below count as this, as in F.cosine_similarity.
_SHORTEST = 1e-8


def center_distance(student: Tensor, teacher: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Return ``sum_n (cos(f_n, c_n)(student) - cos(f_n, c_n)(teacher))^2``.

    With c_n the mean of f over the class of n. Sums over a class are matrix products with its
    one-hot members, so that no map of centers is held. Peak memory beyond the inputs and the
    gradient is a few maps of ``num_classes`` channels; one map is kept for the backward pass.

    Args:
        student: ``[B, C, N]``, float32 or float64; gets a gradient.
        teacher: ``[B, C', N]``; gets none.
        labels: int64 ``[B, N]`` in ``0 .. num_classes - 1``, or -1 where a position is left out of
            sum and centers.
        num_classes: K.

    Returns:
        A scalar >= 0.
    """
    with torch.no_grad():
        # One-hot labels, [B, K, N].
        classes = torch.arange(num_classes, device=labels.device)[:, None]
        members = (labels[:, None] == classes).to(student.dtype)
        # Cosines [B, N] of both models, and their difference at labeled positions.
        *_, t_cosines = _cosines(teacher, members.to(teacher.dtype), labels)
        centers, lengths, norms, cosines = _cosines(student, members, labels)
        difference = (cosines - t_cosines).where(labels >= 0, 0)
        # Gradient by the features with the centers fixed: along the center, [B, K, N] @ [B, C, K].
        along = members * (2 * difference / norms)[:, None]
        grad = centers @ along
        # Gradient by the centers [B, C, K], without its part along them: their length does not
        # matter.
        by_center = student @ along.mT
        by_length = (centers * by_center).sum(1, keepdim=True).where(lengths > _SHORTEST, 0)
        # Each center is a mean of features, and passes its gradient on to all members.
        by_center = (by_center - centers * by_length) / (lengths * _counts(members))
        grad.baddbmm_(by_center, members)
        # The same for the features: their length does not matter either.
        by_norm = (2 * difference * cosines / norms.square()).where(norms > _SHORTEST, 0)
        grad.addcmul_(student, by_norm[:, None], value=-1)
    return attach_grad(difference.square().sum(), student, grad)


def _cosines(x: Tensor, members: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compare every position with the center of its class.

    Returns:
        Centers of length one ``[B, C, K]`` and their lengths ``[B, 1, K]``; the positions' lengths
        ``[B, N]`` and cosines to their center ``[B, N]``.
    """
    centers = x @ members.mT / _counts(members)
    lengths = _lengths(centers)
    norms = _lengths(x)[:, 0]
    centers = centers / lengths
    # Of the products with all centers [B, K, N], that with the own one.
    products = (centers.mT @ x).gather(1, labels.clamp(min=0)[:, None])[:, 0]
    return centers, lengths, norms, products / norms


def _lengths(x: Tensor) -> Tensor:
    """Return the L2 norm along the channels, which stay with length one."""
    return x.square().sum(1, keepdim=True).sqrt().clamp(min=_SHORTEST)


def _counts(members: Tensor) -> Tensor:
    """Return the number of positions of each class, ``[B, 1, K]``."""
    # The 1e-6 is that of the authors' code.
    return members.sum(2)[:, None] + 1e-6
