"""Distance of two maps whose channels are standardized, with one map kept for the backward pass."""

import torch
from torch import Tensor

from densekd.kernels.attach_grad import attach_grad

_EPS = 1e-6
_DIMS = (0, 2, 3)


def standard_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``mean((n(student) - n(teacher))^2)`` with ``n(x) = (x - mean_c) / (std_c + 1e-6)``.

    Mean and unbiased standard deviation are those of each channel over batch, height and width; one value alone has
    deviation 0. Peak memory beyond the inputs is 1.5 times both of them, 0.5 are kept for the backward pass.

    Args:
        student: ``[B, C, H, W]``, float32 or float64; gets a gradient.
        teacher: the same shape; gets none.

    Returns:
        A scalar >= 0.
    """
    with torch.no_grad():
        (score, std), (difference, _) = (_standardized(x) for x in (student, teacher))
        difference.neg_().add_(score)
        value = torch.linalg.vector_norm(difference).square() / difference.numel()
        # The difference has mean 0 in every channel. What moves a score moves the deviation too, if there is one.
        values = score.numel() // score.shape[1]
        along = (difference * score).sum(_DIMS, keepdim=True) * (1 + _EPS / std) / max(values - 1, 1)
        slope = difference.addcmul_(score, along.where(std > 0, 0), value=-1).div_((std + _EPS) * (score.numel() / 2))
    return attach_grad(value, student, slope)


def _standardized(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the scores and the standard deviation of each channel."""
    score = x - x.mean(_DIMS, keepdim=True)
    values = x.numel() // x.shape[1]
    std = (score.square().sum(_DIMS, keepdim=True) / max(values - 1, 1)).sqrt()
    return score.div_(std + _EPS), std
