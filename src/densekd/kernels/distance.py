"""Distances of two maps element by element, with nothing kept for the backward pass but one map."""

import torch
from torch import Tensor

from densekd.kernels.slope import with_slope


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
    return with_slope(half, student, difference) * 2


def absolute_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``sum |student - teacher|``; memory and arguments are those of :func:`squared_distance`."""
    with torch.no_grad():
        difference = student - teacher
        total = difference.abs().sum()
    return with_slope(total, student, difference.sign_())
