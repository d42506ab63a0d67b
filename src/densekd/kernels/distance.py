"""Distances of two maps element by element, with nothing kept for the backward pass but one map."""

import torch
from torch import Tensor

from densekd.kernels.attach_grad import attach_grad


def squared_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``sum (student - teacher)^2`` as a scalar.

    Peak memory beyond the inputs is half of both of them, and the gradient.

    Args:
        student: floating point, any shape; gets a gradient.
        teacher: the same shape; gets none.
    """
    with torch.no_grad():
        difference = student - teacher
        half = torch.linalg.vector_norm(difference).square() / 2
    return attach_grad(half, student, difference) * 2


def weighted_squared_distance(student: Tensor, teacher: Tensor, places: Tensor, channels: Tensor) -> Tensor:
    """Return ``sum places channels (student - teacher)^2``; memory is that of :func:`squared_distance`.

    Args:
        student: ``[B, C, H, W]``, floating point; gets a gradient.
        teacher: the same shape; gets none.
        places: ``[B, H, W]``, without gradient.
        channels: ``[B, C]``, without gradient.
    """
    with torch.no_grad():
        difference = student - teacher
        slope = difference * places[:, None]
        slope.mul_(channels[:, :, None, None])
        half = (slope.flatten() @ difference.flatten()) / 2
    return attach_grad(half, student, slope) * 2


def euclidean_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the root of that, with no gradient where both are equal; memory and arguments are the same."""
    with torch.no_grad():
        difference = student - teacher
        norm = torch.linalg.vector_norm(difference)
    return attach_grad(norm, student, difference.div_(norm.where(norm > 0, 1)))


def absolute_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``sum |student - teacher|``; memory and arguments are the same."""
    with torch.no_grad():
        difference = student - teacher
        total = difference.abs().sum()
    return attach_grad(total, student, difference.sign_())
