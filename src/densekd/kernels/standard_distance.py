"""Distance of two maps with standardized channels (PKD), one map kept for the backward pass."""

# B batch, C channels, H, W height and width
# statistics [1, C, 1, 1] are those of a channel over batch, height and width

import torch
from torch import Tensor

from densekd.ops.attach_grad import attach_grad

_EPS = 1e-6
_DIMS = (0, 2, 3)


def standard_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Return ``mean((n(student) - n(teacher))^2)`` with ``n(x) = (x - mean_c) / (std_c + 1e-6)``.

    Mean and unbiased standard deviation are those of each channel over batch, height and width; one
    value alone has deviation 0. Peak memory beyond the inputs is 1.5 times both of them, 0.5 are
    kept for the backward pass.

    Args:
        student: ``[B, C, H, W]``, float32 or float64; gets a gradient.
        teacher: the same shape; gets none.

    Returns:
        A scalar >= 0.
    """
    with torch.no_grad():
        # Standard scores of both maps; the difference takes the memory of the teacher's.
        score, std = _standardized(student)
        difference, _ = _standardized(teacher)
        difference.neg_().add_(score)
        value = torch.linalg.vector_norm(difference).square() / difference.numel()
        # The mean does not react: the difference sums to 0 in every channel. The deviation does, if
        # there is one.
        count = score.numel() // score.shape[1]
        along = (difference * score).sum(_DIMS, keepdim=True)
        by_std = along * (1 + _EPS / std) / max(count - 1, 1)
        by_std = by_std.where(std > 0, 0)
        grad = difference.addcmul_(score, by_std, value=-1).div_((std + _EPS) * (score.numel() / 2))
    return attach_grad(value, student, grad)


def _standardized(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the standard scores, and the standard deviation of each channel."""
    score = x - x.mean(_DIMS, keepdim=True)
    count = x.numel() // x.shape[1]
    std = (score.square().sum(_DIMS, keepdim=True) / max(count - 1, 1)).sqrt()
    return score.div_(std + _EPS), std
