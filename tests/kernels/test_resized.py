"""Losses of enlarged maps against the same after ``F.interpolate``."""

from collections.abc import Callable

import pytest
import torch
from kernel_cases import COMPILES, LAYOUTS, ORDER, PRECISIONS, agree
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from densekd.kernels import Groups, Upsample, resized_channel_kl, resized_cross_entropy, resized_pixel_kl
from densekd.kernels.resized_channel_kl import resized_channel_kl_reference
from densekd.kernels.resized_cross_entropy import resized_cross_entropy_reference
from densekd.kernels.resized_pixel_kl import resized_pixel_kl_reference

VOID = 255
# Own size, teacher's, wanted: odd, one pixel, one wanted, smaller, only one axis, no change.
SIZES = [
    ((5, 6), (3, 7), (17, 13)),
    ((1, 1), (2, 1), (4, 5)),
    ((3, 4), (3, 4), (1, 1)),
    ((8, 9), (4, 3), (4, 3)),
    ((4, 4), (4, 4), (16, 4)),
    ((3, 4), (3, 4), (3, 4)),
]
CORNERS = pytest.mark.parametrize("align_corners", [False, True], ids=["plain", "align corners"])
Size = tuple[int, int]
Sizes = tuple[Size, Size, Size]


def maps(sizes: Sizes, dtype: torch.dtype = torch.float64, classes: int = 7) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return student, teacher, labels of which some are void, and weights of the label pixels."""
    generator = torch.Generator().manual_seed(5)
    own, teacher, wanted = sizes
    s, t = (2 * torch.randn(2, classes, *size, generator=generator, dtype=torch.float64) for size in (own, teacher))
    labels = torch.randint(classes, (2, *wanted), generator=generator)
    labels[torch.rand(2, *wanted, generator=generator) < 0.3] = VOID
    weight = torch.rand(2, *wanted, generator=generator, dtype=torch.float64)
    return s.to(dtype).requires_grad_(), t.to(dtype), labels, weight.to(dtype)


@CORNERS
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("weighted", ["plain", "weighted"])
def test_cross_entropy(sizes: Sizes, weighted: str, align_corners: bool) -> None:
    student, _, labels, _ = maps(sizes)
    weight = torch.linspace(0.5, 2, 7, dtype=student.dtype) if weighted == "weighted" else None
    arguments = (student, labels, weight, VOID, align_corners)
    agree(resized_cross_entropy(*arguments), resized_cross_entropy_reference(*arguments), student)


@CORNERS
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("weighted", ["plain", "weighted"])
def test_pixel_kl(sizes: Sizes, weighted: str, align_corners: bool) -> None:
    student, teacher, _, weight = maps(sizes)
    arguments = (
        student,
        teacher,
        Upsample(sizes[2], align_corners),
        2.0,
        weight if weighted == "weighted" else None,
    )
    agree(resized_pixel_kl(*arguments), resized_pixel_kl_reference(*arguments), student)


@CORNERS
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("groups", [Groups(), Groups(3), Groups(3, ORDER)], ids=["1", "3", "3 permuted"])
def test_channel_kl(sizes: Sizes, groups: Groups, align_corners: bool) -> None:
    student, teacher, *_ = maps(sizes)
    arguments = (student, teacher, Upsample(sizes[2], align_corners), 2.0, groups)
    agree(resized_channel_kl(*arguments), resized_channel_kl_reference(*arguments), student)


@PRECISIONS
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_precision_and_layout(dtype: torch.dtype, layout: Callable[[Tensor], Tensor]) -> None:
    s, t, labels, _ = maps(SIZES[0], dtype)
    s, t = layout(s.detach().clone()).requires_grad_(), layout(t)
    to = Upsample(SIZES[0][2])
    agree(resized_cross_entropy(s, labels, None, VOID), resized_cross_entropy_reference(s, labels, None, VOID), s)
    agree(resized_pixel_kl(s, t, to), resized_pixel_kl_reference(s, t, to), s)
    agree(resized_channel_kl(s, t, to), resized_channel_kl_reference(s, t, to), s)


def functions(
    teacher: Tensor, labels: Tensor, to: Upsample
) -> dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]]:
    """Each kernel and its reference, of the student alone."""
    return {
        "cross entropy": (
            lambda s: resized_cross_entropy(s, labels, None, VOID),
            lambda s: resized_cross_entropy_reference(s, labels, None, VOID),
        ),
        "pixels": (lambda s: resized_pixel_kl(s, teacher, to), lambda s: resized_pixel_kl_reference(s, teacher, to)),
        "channels": (
            lambda s: resized_channel_kl(s, teacher, to).sum(),
            lambda s: resized_channel_kl_reference(s, teacher, to).sum(),
        ),
    }


EACH = pytest.mark.parametrize("name", ["cross entropy", "pixels", "channels"])


@EACH
def test_gradcheck(name: str) -> None:
    sizes = ((2, 3), (3, 2), (5, 7))
    student, teacher, labels, _ = maps(sizes, classes=3)
    assert torch.autograd.gradcheck(functions(teacher, labels, Upsample(sizes[2]))[name][0], student)


@EACH
def test_huge_logits(name: str) -> None:
    sizes = SIZES[0]
    student, teacher, labels, _ = maps(sizes)
    huge = (student.detach() * 1e4).requires_grad_()
    ours, reference = functions(teacher * 1e4, labels, Upsample(sizes[2]))[name]
    agree(ours(huge), reference(huge), huge)
    single = huge.detach().float().requires_grad_()
    value = functions(teacher.float() * 1e4, labels, Upsample(sizes[2]))[name][0](single)
    assert value.item() == pytest.approx(ours(huge).item(), rel=1e-4)
    assert torch.autograd.grad(value, single)[0].isfinite().all()


@EACH
def test_one_class_is_certain(name: str) -> None:
    """Of one class every pixel's softmax is 1; its positions still compete with each other."""
    sizes = SIZES[0]
    student, teacher, labels, _ = maps(sizes, classes=1)
    ours, reference = functions(teacher, labels, Upsample(sizes[2]))[name]
    agree(ours(student), reference(student), student)
    assert (ours(student).item() == 0) == (name != "channels")


def test_all_void_is_zero_without_gradient() -> None:
    student, teacher, labels, weight = maps(SIZES[0])
    for value in (
        resized_cross_entropy(student, torch.full_like(labels, VOID), None, VOID),
        resized_pixel_kl(student, teacher, Upsample(SIZES[0][2]), 1.0, torch.zeros_like(weight)),
    ):
        assert value.item() == 0
        assert torch.autograd.grad(value, student)[0].abs().max() == 0


@COMPILES
@EACH
def test_compiles_as_one_graph(name: str) -> None:
    student, teacher, labels, _ = maps(SIZES[0], torch.float32)
    function = functions(teacher, labels, Upsample(SIZES[0][2]))[name][0]
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    ours, eager = compiled(student), function(student)
    assert torch.equal(ours, eager)
    assert torch.equal(*(torch.autograd.grad(x, student)[0] for x in (ours, eager)))


@EACH
def test_autocast_changes_nothing(name: str) -> None:
    student, teacher, labels, _ = maps(SIZES[0], torch.float32)
    function = functions(teacher, labels, Upsample(SIZES[0][2]))[name][0]
    plain = function(student)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(function(student), plain)


@EACH
def test_the_enlarged_map_is_never_held(name: str) -> None:
    """40 classes, 32 x 32 -> 256 x 256: one enlarged map takes 10.5 MB."""
    sizes = ((32, 32), (32, 32), (256, 256))
    student, teacher, labels, _ = maps(sizes, torch.float32, classes=40)
    ours, reference = functions(teacher, labels, Upsample(sizes[2]))[name]
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


def test_labels_that_are_no_class_are_refused() -> None:
    student, _, labels, _ = maps(SIZES[0])
    labels[0, 0, 0] = 9
    with pytest.raises((IndexError, RuntimeError), match=r"out of (bounds|range)"):
        resized_cross_entropy(student, labels, None, VOID)


@pytest.mark.parametrize("function", [resized_channel_kl, resized_pixel_kl])
def test_other_channels_are_refused(function: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match="one shape but for height and width"):
        function(torch.zeros(1, 2, 3, 4), torch.zeros(1, 3, 3, 4), Upsample((6, 8)))
