"""Means over the processes of a distributed training (DDP)."""

import torch
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


def rank_and_world_size() -> tuple[int, int]:
    """Return this process' rank and the number of processes; (0, 1) without a process group."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def gather_over_processes(x: Tensor) -> Tensor:
    """Join ``x``, of one shape everywhere, over all processes along the first axis, in rank order.

    Without gradient.
    """
    _, world = rank_and_world_size()
    if world == 1:
        return x
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world)]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)
