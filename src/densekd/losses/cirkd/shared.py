"""What the CIRKD losses with a memory share: the student's projection and other processes' tensors."""

import torch
import torch.distributed as dist
from torch import Tensor, nn

from densekd.losses.inputs import to_float32


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
    return to_float32(head(student.to(weight.dtype))).to(to_float32(student[:0]).dtype)


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
