"""Sums, means and joins over the processes of a distributed training (DDP)."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def in_process_group() -> bool:
    """Tell whether this process belongs to a group, even as its only member."""
    return dist.is_available() and dist.is_initialized()


def mean_over_processes(x: Tensor, least: float = 0.0) -> Tensor:
    """Return the mean of ``x``, of one shape everywhere and without gradient, over all processes.

    Args:
        x: each process's part of a normalizer.
        least: lower bound of the sum of all parts, so that two processes divide by as much as one.
    """
    if not in_process_group():
        return x.clamp(min=least)
    total = x.clone()
    dist.all_reduce(total)
    return total.clamp(min=least) / dist.get_world_size()


def rank_and_world_size() -> tuple[int, int]:
    """Return this process' rank and the number of processes; (0, 1) without a process group."""
    if in_process_group():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def sum_over_processes(x: Tensor) -> Tensor:
    """Return the sum of ``x``, of one shape everywhere, over all processes (all-reduce).

    It can be differentiated any number of times: the gradient of what every process makes of the
    sum reaches ``x`` of each of them.
    """
    if not in_process_group():
        return x
    total: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]
    return total


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


class _Sum(torch.autograd.Function):
    """All-reduce, whose gradient is an all-reduce again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        return sum_over_processes(grads[0])
