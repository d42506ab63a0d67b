"""The channel-wise divergence of upsampled maps against the same after ``F.interpolate``."""

import pytest
import torch
from kernel_cases import (
    COMPILES,
    CORNERS,
    LAYOUTS,
    ORDER,
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

from densekd.kernels import Groups, Upsample, resized_channel_kl
from densekd.kernels.resized_channel_kl import resized_channel_kl_reference


def functions(teacher: Tensor, size: Size) -> tuple[Function, Function]:
    """Kernel and reference, of the student alone."""
    upsample = Upsample(size)
    return (
        lambda s: resized_channel_kl(s, teacher, upsample).sum(),
        lambda s: resized_channel_kl_reference(s, teacher, upsample).sum(),
    )


@CORNERS
@pytest.mark.parametrize("sizes", SIZES, ids=str)
@pytest.mark.parametrize(
    "groups", [Groups(), Groups(3), Groups(3, ORDER), Groups(1, ORDER)], ids=["1", "3", "3 permuted", "1 permuted"]
)
def test_equals_the_reference(sizes: Sizes, groups: Groups, align_corners: bool) -> None:
    student, teacher, *_ = maps(sizes)
    arguments = (student, teacher, Upsample(sizes[2], align_corners), 2.0, groups)
    agree(resized_channel_kl(*arguments), resized_channel_kl_reference(*arguments), student)


@PRECISIONS
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_any_precision_and_layout(dtype: torch.dtype, layout: Layout) -> None:
    s, t, *_ = maps(SIZES[0], dtype)
    s, t = layout(s.detach().clone()).requires_grad_(), layout(t)
    upsample = Upsample(SIZES[0][2])
    agree(resized_channel_kl(s, t, upsample), resized_channel_kl_reference(s, t, upsample), s)


def test_gradcheck() -> None:
    sizes = ((2, 3), (3, 2), (5, 7))
    student, teacher, *_ = maps(sizes, classes=3)
    assert torch.autograd.gradcheck(functions(teacher, sizes[2])[0], student)


def test_huge_logits() -> None:
    student, teacher, *_ = maps(SIZES[0])
    huge_logits(lambda t: functions(t, SIZES[0][2]), student, teacher)


def test_positions_of_one_channel_compete_with_each_other() -> None:
    student, teacher, *_ = maps(SIZES[0], classes=1)
    ours, reference = functions(teacher, SIZES[0][2])
    agree(ours(student), reference(student), student)
    assert ours(student).item() > 0


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
        resized_channel_kl(torch.zeros(1, 2, 3, 4), torch.zeros(1, 3, 3, 4), Upsample((6, 8)))
