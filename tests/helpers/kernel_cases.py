"""Precisions, memory layouts and groups that kernels are compared in, and the comparison."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from densekd.kernels import Groups

# While it traces an autograd function, torch.compile makes an instance of the base class, against torch's own advice.
COMPILES = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
PRECISIONS = pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str)
ORDER = torch.tensor([3, 0, 6, 5, 1, 4, 2])
GROUPS = [Groups(), Groups(3), Groups(3, ORDER), Groups(7), Groups(20, ORDER)]
Layout = Callable[[Tensor], Tensor]
LAYOUTS: dict[str, Layout] = {
    "contiguous": lambda x: x,
    "channels last": lambda x: x.to(memory_format=torch.channels_last),
    "sliced": lambda x: torch.cat([x, x], 3)[..., ::2][..., : x.shape[3]].copy_(x),
    "turned": lambda x: x.mT.contiguous().mT,
}


def pair(dtype: torch.dtype, *shape: int, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    student, teacher = (scale * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return student.to(dtype).requires_grad_(), teacher.to(dtype)


def agree(ours: Tensor, reference: Tensor, student: Tensor) -> None:
    """Same values and, for an upstream gradient of its own for each value, same gradients."""
    wide = student.dtype == torch.float64
    torch.testing.assert_close(ours, reference, rtol=1e-11 if wide else 1e-5, atol=1e-13 if wide else 1e-6)
    upstream = torch.linspace(0.5, 2, ours.numel(), dtype=ours.dtype).view_as(ours)
    mine, theirs = (torch.autograd.grad(x, student, upstream)[0] for x in (ours, reference))
    assert mine.dtype == student.dtype
    rtol = 1e-10 if wide else max(1e-4, 2 * torch.finfo(student.dtype).eps)
    torch.testing.assert_close(mine, theirs, rtol=rtol, atol=rtol * theirs.abs().max().item() / 10 + 1e-14)
