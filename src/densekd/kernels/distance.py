"""L1 and L2 distances of two maps, with one map kept for the backward pass."""

# any shape; B batch, C channels, H, W height and width where there are weights

import torch
from torch import Tensor

from densekd.ops.attach_grad import attach_grad


def squared_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``sum (student - teacher)^2`` as a scalar.

    Peak memory beyond the inputs is half of both of them, and the gradient.

    Args:
        student: floating point, any shape; gets a gradient.
        teacher: the same shape; gets none.
    """
    with torch.no_grad():
        # The difference is the derivative of half the sum of squares.
        difference = student - teacher
        half = torch.linalg.vector_norm(difference).square() / 2
    return attach_grad(half, student, difference) * 2


def weighted_squared_distance(student: Tensor, teacher: Tensor, positions: Tensor, channels: Tensor) -> Tensor:
    """Return ``sum positions channels (student - teacher)^2`` as a scalar.

    Peak memory is that of :func:`squared_distance`.

    Args:
        student: ``[B, C, H, W]``, floating point; gets a gradient.
        teacher: the same shape; gets none.
        positions: weights ``[B, H, W]``, without gradient.
        channels: weights ``[B, C]``, without gradient.
    """
    with torch.no_grad():
        # The weighted difference is the derivative of half the weighted sum.
        difference = student - teacher
        grad = difference * positions[:, None]
        grad.mul_(channels[:, :, None, None])
        half = (grad.flatten() @ difference.flatten()) / 2
    return attach_grad(half, student, grad) * 2


def euclidean_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``|student - teacher|_2``, with no gradient where both are equal.

    Memory and arguments are those of :func:`squared_distance`.
    """
    with torch.no_grad():
        difference = student - teacher
        norm = torch.linalg.vector_norm(difference)
        # The derivative is the unit vector of the difference, and 0 where there is none.
        grad = difference.div_(norm.where(norm > 0, 1))
    return attach_grad(norm, student, grad)


def absolute_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``sum |student - teacher|``.

    Memory and arguments are those of :func:`squared_distance`.
    """
    with torch.no_grad():
        difference = student - teacher
        total = difference.abs().sum()
        grad = difference.sign_()
    return attach_grad(total, student, grad)
