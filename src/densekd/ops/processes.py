"""Means over the processes of a distributed training (DDP)."""

import torch.distributed as dist
from torch import Tensor


def mean_over_processes(x: Tensor, least: float = 0.0) -> Tensor:
    """Return the mean of ``x``, of one shape everywhere and without gradient, over all processes.

    Args:
        x: each process's part of a normalizer.
        least: lower bound of the sum of all parts, so that two processes divide by as much as one.
    """
    if not (dist.is_available() and dist.is_initialized()):
        return x.clamp(min=least)
    total = x.clone()
    dist.all_reduce(total)
    return total.clamp(min=least) / dist.get_world_size()
