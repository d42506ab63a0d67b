"""What the CIRKD losses with a memory share: the student's projection, other processes' tensors, keys of classes."""

from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from densekd.kernels.unit import unit
from densekd.losses.inputs import widen

Enqueue = Literal["class", "as_released"]


def project_head(student_channels: int, teacher_channels: int) -> nn.Sequential:
    """Build the student's projection: 1x1 convolution, batch norm, ReLU, 1x1 convolution, both without bias."""
    return nn.Sequential(
        nn.Conv2d(student_channels, teacher_channels, 1, bias=False),
        nn.BatchNorm2d(teacher_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(teacher_channels, teacher_channels, 1, bias=False),
    )


def project(head: nn.Sequential, student: Tensor) -> Tensor:
    """Apply the head in the precision of its weights and return that of ``student``, at least float32.

    Raises:
        ValueError: another number of channels than the head was made for.
    """
    weight = head[0].weight
    assert isinstance(weight, Tensor)
    if student.shape[1] != weight.shape[1]:
        raise ValueError(f"this loss is made for {weight.shape[1]} student channels, got {list(student.shape)}")
    return widen(head(student.to(weight.dtype))).to(widen(student[:0]).dtype)


def processes() -> tuple[int, int]:
    """Return this process' rank and the number of processes; (0, 1) without a process group."""
    return (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)


def gathered(x: Tensor) -> Tensor:
    """Join ``x``, of one shape everywhere, over all processes along the first axis, in the order of ranks."""
    world = processes()[1]
    if world == 1:
        return x
    parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(world)]
    dist.all_gather(parts, x.contiguous())
    return torch.cat(parts)


def count_and_regions(features: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Return the pixels of each class ``[B, C]`` (int64) and the unit mean of their features ``[B, C, D]``.

    Args:
        features: ``[B, P, D]``.
        labels: int64 ``[B, P]`` in ``0 .. num_classes``; the last is void.
        num_classes: C.
    """
    member = (labels[:, None] == torch.arange(num_classes, device=labels.device)[:, None]).to(features.dtype)
    return member.sum(2).long(), unit(member @ features, 2)


def sample(labels: Tensor, count: Tensor, shuffled: Tensor, n: int, enqueue: Enqueue) -> Tensor:
    """Choose ``n`` pixels of every class without replacement; where a class has fewer, what follows them means nothing.

    Args:
        labels: int64 ``[B, P]`` in ``0 .. C``; the last is void.
        count: int64 ``[B, C]``, the pixels of each class.
        shuffled: a permutation of the pixels of each image, ``[B, P]``.
        n: how many.
        enqueue: see :class:`CIRKDMemory`.

    Returns:
        Positions ``[B, C n]`` in the map.
    """
    P = labels.shape[1]
    first = count.cumsum(1) - count
    places = (first[..., None] + torch.arange(n, device=labels.device)).clamp(max=P - 1).flatten(1)
    # Stable: within a class the shuffled order stays.
    chosen = shuffled.gather(1, labels.gather(1, shuffled).argsort(dim=1, stable=True)).gather(1, places)
    if enqueue == "class":
        return chosen
    number = labels.argsort(dim=1, stable=True).argsort(1).gather(1, chosen) - first.repeat_interleave(n, 1)
    return number.clamp(min=0)
