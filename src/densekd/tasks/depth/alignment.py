"""Least-squares alignment of depth maps that are known up to scale and shift (MiDaS, arXiv 1907.01341)."""

import torch
from torch import Tensor


def scale_and_shift(prediction: Tensor, truth: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scale s and shift t of each image that minimize ``sum weight (s prediction + t - truth)^2``.

    Args:
        prediction, truth: ``[B, H, W]``, float.
        weight: ``[B, H, W]``, 1 where the truth was measured and 0 elsewhere.

    Returns:
        s and t, ``[B]`` each. Where the prediction does not vary, s is 0 and t the mean of the truth; where nothing was
        measured, both are 0.
    """
    total = weight.sum((1, 2)).clamp(min=1)
    mean_prediction = (weight * prediction).sum((1, 2)) / total
    mean_truth = (weight * truth).sum((1, 2)) / total
    # Of centered values the normal equations are diagonal, and nothing large is subtracted from something large.
    centered = weight * (prediction - mean_prediction[:, None, None])
    covariance = (centered * (truth - mean_truth[:, None, None])).sum((1, 2)) / total
    variance = (centered * (prediction - mean_prediction[:, None, None])).sum((1, 2)) / total
    varies = variance > torch.finfo(variance.dtype).tiny
    scale = torch.where(varies, covariance / variance.where(varies, torch.ones_like(variance)), 0)
    return scale, mean_truth - scale * mean_prediction


def scale_alone(prediction: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Return the scale of each image, ``[B]``, that minimizes ``sum weight (s prediction - truth)^2``."""
    power = (weight * prediction**2).sum((1, 2))
    known = power > torch.finfo(power.dtype).tiny
    product = (weight * prediction * truth).sum((1, 2))
    return torch.where(known, product / power.where(known, torch.ones_like(power)), 0)
