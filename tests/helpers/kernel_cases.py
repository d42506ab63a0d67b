"""Cases that kernels are compared in with their references, and the comparisons."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

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
    "transposed": lambda x: x.mT.contiguous().mT,
}

# Of upsampled maps: the student's size, the teacher's, the size of the result.
Size = tuple[int, int]
Sizes = tuple[Size, Size, Size]
# Odd, one pixel, one pixel as the result, smaller, only one axis, no change.
SIZES: list[Sizes] = [
    ((5, 6), (3, 7), (17, 13)),
    ((1, 1), (2, 1), (4, 5)),
    ((3, 4), (3, 4), (1, 1)),
    ((8, 9), (4, 3), (4, 3)),
    ((4, 4), (4, 4), (16, 4)),
    ((3, 4), (3, 4), (3, 4)),
]
CORNERS = pytest.mark.parametrize("align_corners", [False, True], ids=["plain", "align corners"])
VOID = 255
# A function of the student's map alone.
Function = Callable[[Tensor], Tensor]


def pair(dtype: torch.dtype, *shape: int, scale: float = 2.0) -> tuple[Tensor, Tensor]:
    """Return a student's and a teacher's map."""
    generator = torch.Generator().manual_seed(3)
    student, teacher = (scale * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return student.to(dtype).requires_grad_(), teacher.to(dtype)


def maps(sizes: Sizes, dtype: torch.dtype = torch.float64, classes: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return student, teacher, labels of which some are void, and weights of the label pixels."""
    generator = torch.Generator().manual_seed(5)
    own, teacher, result = sizes
    s, t = (2 * torch.randn(2, classes, *size, generator=generator, dtype=torch.float64) for size in (own, teacher))
    labels = torch.randint(classes, (2, *result), generator=generator)
    labels[torch.rand(2, *result, generator=generator) < 0.3] = VOID
    weight = torch.rand(2, *result, generator=generator, dtype=torch.float64)
    return s.to(dtype).requires_grad_(), t.to(dtype), labels, weight.to(dtype)


def agree(ours: Tensor, reference: Tensor, student: Tensor) -> None:
    """Same values and, for an upstream gradient of its own for each value, same gradients."""
    double = student.dtype == torch.float64
    torch.testing.assert_close(ours, reference, rtol=1e-11 if double else 1e-5, atol=1e-13 if double else 1e-6)
    upstream = torch.linspace(0.5, 2, ours.numel(), dtype=ours.dtype).view_as(ours)
    mine, theirs = (torch.autograd.grad(x, student, upstream)[0] for x in (ours, reference))
    assert mine.dtype == student.dtype
    rtol = 1e-10 if double else max(1e-4, 2 * torch.finfo(student.dtype).eps)
    torch.testing.assert_close(mine, theirs, rtol=rtol, atol=rtol * theirs.abs().max().item() / 10 + 1e-14)


def compiles_as_one_graph(function: Function, student: Tensor) -> None:
    """torch.compile breaks no graph and changes no bit."""
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    ours, eager = compiled(student), function(student)
    assert torch.equal(ours, eager)
    assert torch.equal(*(torch.autograd.grad(x.sum(), student)[0] for x in (ours, eager)))


def autocast_changes_nothing(function: Function, student: Tensor) -> None:
    """Mixed precision does not reach into a kernel."""
    plain = function(student)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(function(student), plain)


def huge_logits(make: Callable[[Tensor], tuple[Function, Function]], student: Tensor, teacher: Tensor) -> None:
    """Logits of 10^4 overflow nothing; ``make`` returns kernel and reference for a teacher."""
    huge = (student.detach() * 1e4).requires_grad_()
    ours, reference = make(teacher * 1e4)
    agree(ours(huge), reference(huge), huge)
    single = huge.detach().float().requires_grad_()
    value = make(teacher.float() * 1e4)[0](single)
    assert value.item() == pytest.approx(ours(huge).item(), rel=1e-4)
    assert torch.autograd.grad(value, single)[0].isfinite().all()


def never_holds_the_upsampled_map(make: Callable[[Tensor, Tensor, Size], tuple[Function, Function]]) -> None:
    """40 classes, 32 x 32 -> 256 x 256: one upsampled map takes 10.5 MB of each of two images.

    ``make`` returns kernel and reference for a teacher, labels and the size of the result.
    """
    sizes = ((32, 32), (32, 32), (256, 256))
    student, teacher, labels, _ = maps(sizes, torch.float32, classes=40)
    ours, reference = make(teacher, labels, sizes[2])
    whole = 2 * 40 * 256 * 256 * 4
    assert peak_bytes(lambda: ours(student).backward()) < 0.15 * whole
    assert peak_bytes(lambda: reference(student).backward()) > 2 * whole


def peak_bytes(step: Callable[[], object]) -> int:
    """Return what is allocated at the highest moment beyond what was before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as record:
        step()
    assert record.profiler is not None
    events = record.profiler.kineto_results.events()
    changes = sorted((e.start_ns(), e.nbytes()) for e in events if e.name() == "[memory]")
    live = peak = 0
    for _, change in changes:
        live += change
        peak = max(peak, live)
    return peak


class CountedOperations(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the operations that run within a ``with`` block, views included."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))
