"""The expected distance of a distribution over distances (Li et al., NeurIPS 2020, arXiv 2006.04388, eq. 6)."""

import torch
from torch import Tensor


def integral(distribution: Tensor) -> Tensor:
    """Return ``sum_i softmax(logits)_i i`` for each of the four sides of a box.

    Args:
        distribution: logits ``[..., 4 * (n + 1)]`` of the distances 0..n, side after side: left, top, right, bottom.

    Returns:
        ``[..., 4]``, each in [0, n]: distances in units of the bins.
    """
    logits = distribution.reshape(*distribution.shape[:-1], 4, distribution.shape[-1] // 4)
    # Not a product of matrices: autocast would take it in half precision.
    return (logits.softmax(-1) * torch.arange(logits.shape[-1], device=logits.device, dtype=logits.dtype)).sum(-1)
