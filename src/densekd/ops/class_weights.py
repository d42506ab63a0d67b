"""Class weights: class frequencies of label maps, standardized and geometric scores."""

# B images, C classes, H, W height and width of the labels

from math import log

import torch
from torch import Tensor


def class_counts(labels: Tensor, classes: int) -> Tensor:
    """Count the pixels of every class in every image.

    Args:
        labels: ``[B, H, W]`` int64; values outside ``0..classes - 1`` are not counted.
        classes: C, the number of classes.

    Returns:
        ``[B, C]`` int64.
    """
    # Everything else goes to one class more, which is cut off.
    known = (labels >= 0) & (labels < classes)
    index = labels.where(known, classes).flatten(1)
    counts = index.new_zeros(len(index), classes + 1)
    return counts.scatter_add_(1, index, index.new_ones(1).expand_as(index))[:, :classes]


def standardize(w: Tensor) -> Tensor:
    """Bring every row to mean 0 and unbiased standard deviation 1.

    Args:
        w: ``[B, C]``, float.

    Returns:
        ``[B, C]``; zeros where all values of a row are equal up to rounding, also where C = 1.
    """
    # Largest magnitude 1: squares neither overflow nor underflow, and rounding errors are those of
    # numbers near 1.
    w = w / w.abs().amax(1, keepdim=True).clamp(min=torch.finfo(w.dtype).tiny)
    deviation = w - w.mean(1, keepdim=True)
    std = (deviation.square().sum(1, keepdim=True) / max(w.shape[1] - 1, 1)).sqrt()
    return torch.where(std > 16 * torch.finfo(w.dtype).eps, deviation / std, 0.0)


def geometric_weight(w: Tensor, base: float) -> Tensor:
    """Return ``(1 - base^w) / (1 - base)`` less its largest value in every row, for a softmax.

    The function increases with w for every base and is ``w`` at base 1. With a = base and m the
    largest w of the row the difference is ``max(a^w, a^m) (e^-|(w - m) log a| - 1) / |1 - a|``:
    finite or minus infinity, never NaN, whatever ``a^w`` overflows to.

    Args:
        w: ``[B, C]``, float.
        base: positive.

    Returns:
        ``[B, C]``, <= 0, with a zero in every row.
    """
    largest = w.amax(1, keepdim=True)
    if base == 1:
        return w - largest
    exponent = w * log(base)
    at_largest = largest * log(base)
    # max(a^w, a^m), finite, times a factor that is exact where w is close to m.
    scale = torch.maximum(exponent, at_largest).exp().clamp(max=torch.finfo(w.dtype).max)
    return scale * torch.expm1(-(exponent - at_largest).abs()) / abs(1 - base)
