"""Integral of distributions over distances: expected box sides (GFL, arXiv 2006.04388, eq. 6)."""

import torch
from torch import Tensor


def integral(distribution: Tensor) -> Tensor:
    """Return ``sum_i softmax(logits)_i i`` for each of the four sides of a box.

    Args:
        distribution: logits ``[..., 4 * (n + 1)]`` of the distances 0..n, side after side: left,
            top, right, bottom.

    Returns:
        ``[..., 4]``, each in [0, n]: distances in units of the bins.
    """
    bins = distribution.shape[-1] // 4
    logits = distribution.reshape(*distribution.shape[:-1], 4, bins)
    distances = torch.arange(bins, device=logits.device, dtype=logits.dtype)
    # Not a product of matrices: autocast would compute it in half precision.
    return (logits.softmax(-1) * distances).sum(-1)
