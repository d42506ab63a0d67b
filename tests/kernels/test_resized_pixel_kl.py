"""The pixel-wise divergence of upsampled maps against the same after ``F.interpolate``."""

import pytest
import torch
from kernel_cases import (
    COMPILES,
    CORNERS,
    LAYOUTS,
    PRECISIONS,
    SIZES,
    Function,
    Layout,
    Size,
    Sizes,
    agree,
    autocast_changes_nothing,
    compiles_as_one_graph,
    huge_logits,
    maps,
    never_holds_the_upsampled_map,
)
from torch import Tensor

from densekd.kernels import Upsample, resized_pixel_kl
from densekd.kernels.resized_pixel_kl import resized_pixel_kl_reference


def functions(teacher: Tensor, size: Size) -> tuple[Function, Function]:
    """Kernel and reference, of the student alone."""
    upsample = Upsample(size)
    return (
        lambda s: resized_pixel_kl(s, teacher, upsample),
        lambda s: resized_pixel_kl_reference(s, teacher, upsample),
    )


@CORNERS
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize("weighted", ["plain", "weighted"])
def test_equals_the_reference(sizes: Sizes, weighted: str, align_corners: bool) -> None:
    student, teacher, _, weight = maps(sizes)
    factors = weight if weighted == "weighted" else None
    arguments = (student, teacher, Upsample(sizes[2], align_corners), 2.0, factors)
    agree(resized_pixel_kl(*arguments), resized_pixel_kl_reference(*arguments), student)


@PRECISIONS
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_precision_and_layout(dtype: torch.dtype, layout: Layout) -> None:
    s, t, *_ = maps(SIZES[0], dtype)
    s, t = layout(s.detach().clone()).requires_grad_(), layout(t)
    upsample = Upsample(SIZES[0][2])
    agree(resized_pixel_kl(s, t, upsample), resized_pixel_kl_reference(s, t, upsample), s)


def test_gradcheck() -> None:
    sizes = ((2, 3), (3, 2), (5, 7))
    student, teacher, *_ = maps(sizes, classes=3)
    assert torch.autograd.gradcheck(functions(teacher, sizes[2])[0], student)


def test_huge_logits() -> None:
    student, teacher, *_ = maps(SIZES[0])
    huge_logits(lambda t: functions(t, SIZES[0][2]), student, teacher)


def test_one_class_is_certain() -> None:
    """Of one class every pixel's softmax is 1."""
    student, teacher, *_ = maps(SIZES[0], classes=1)
    ours, reference = functions(teacher, SIZES[0][2])
    agree(ours(student), reference(student), student)
    assert ours(student).item() == 0


def test_weight_zero_everywhere_is_zero_without_gradient() -> None:
    student, teacher, _, weight = maps(SIZES[0])
    value = resized_pixel_kl(student, teacher, Upsample(SIZES[0][2]), 1.0, torch.zeros_like(weight))
    assert value.item() == 0
    assert torch.autograd.grad(value, student)[0].abs().max() == 0


@COMPILES
def test_compiles_as_one_graph() -> None:
    student, teacher, *_ = maps(SIZES[0], torch.float32)
    compiles_as_one_graph(functions(teacher, SIZES[0][2])[0], student)


def test_autocast_changes_nothing() -> None:
    student, teacher, *_ = maps(SIZES[0], torch.float32)
    autocast_changes_nothing(functions(teacher, SIZES[0][2])[0], student)


def test_the_upsampled_map_is_never_held() -> None:
    never_holds_the_upsampled_map(lambda teacher, labels, size: functions(teacher, size))


def test_other_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape but for height and width"):
        resized_pixel_kl(torch.zeros(1, 2, 3, 4), torch.zeros(1, 3, 3, 4), Upsample((6, 8)))
