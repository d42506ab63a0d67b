"""The channel-wise divergence against its formula in plain operations."""

import pytest
import torch
from kernel_cases import (
    COMPILES,
    GROUPS,
    LAYOUTS,
    ORDER,
    PRECISIONS,
    CountedOperations,
    Layout,
    agree,
    compiles_as_one_graph,
    pair,
)

from densekd.kernels import Groups, channel_kl
from densekd.kernels.channel_kl import channel_kl_reference, cpu_blocked


@PRECISIONS
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("groups", GROUPS, ids=["1", "3", "3 permuted", "all", "more than all"])
def test_equals_the_reference(dtype: torch.dtype, layout: Layout, groups: Groups) -> None:
    student, teacher = pair(dtype, 2, 7, 5, 6)
    s, t = layout(student.detach().clone()).requires_grad_(), layout(teacher)
    agree(channel_kl(s, t, 2.0, groups), channel_kl_reference(s, t, 2.0, groups), s)


@pytest.mark.parametrize("numel", [1, 40, 1 << 17])
@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
@pytest.mark.parametrize("transposed", [0, 1 << 20], ids=["by position", "by channel"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_blocks_of_any_size(
    numel: int, layout: str, transposed: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """70 channels: large channels-last maps of so many are read position by position."""
    names = channel_kl.__wrapped__.__globals__
    monkeypatch.setitem(names, "BLOCK_NUMEL", numel)
    monkeypatch.setitem(names, "_TRANSPOSED_NUMEL", transposed)
    monkeypatch.setitem(names, "_TRANSPOSED_NUMEL_OF_GROUPS", transposed)
    student, teacher = (LAYOUTS[layout](x.detach()) for x in pair(dtype, 2, 70, 3, 4))
    student.requires_grad_()
    for groups in (Groups(), Groups(4)):
        agree(channel_kl(student, teacher, 1.0, groups), channel_kl_reference(student, teacher, 1.0, groups), student)


@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
def test_small_images_are_one_block(layout: str) -> None:
    """As many operations for eight images as for one, and the bits of each image alone."""
    student, teacher = (LAYOUTS[layout](x.detach()) for x in pair(torch.float32, 8, 19, 12, 16))
    value, grad = cpu_blocked(student, teacher, 4.0, Groups())
    first = (student[:1], teacher[:1])
    with CountedOperations() as eight:
        cpu_blocked(student, teacher, 4.0, Groups())
    with CountedOperations() as one:
        alone, grad_alone = cpu_blocked(*first, 4.0, Groups())
    assert eight.count == one.count
    assert torch.equal(value[:1], alone)
    assert torch.equal(grad[:1], grad_alone)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 3, 5), (2, 7, 1, 1), (1, 3, 1, 7)], ids=str)
def test_one_of_something(shape: tuple[int, ...]) -> None:
    student, teacher = pair(torch.float64, *shape)
    agree(channel_kl(student, teacher), channel_kl_reference(student, teacher), student)


@pytest.mark.parametrize("groups", [Groups(), Groups(3, ORDER)], ids=["1", "3 permuted"])
def test_gradcheck(groups: Groups) -> None:
    student, teacher = pair(torch.float64, 1, 7, 2, 2)
    assert torch.autograd.gradcheck(lambda s: channel_kl(s, teacher, 3.0, groups), student)


def test_huge_logits() -> None:
    student, teacher = pair(torch.float32, 2, 7, 5, 6, scale=1e4)
    value = channel_kl(student, teacher)
    exact = channel_kl(student.double(), teacher.double())
    torch.testing.assert_close(value.double(), exact, rtol=1e-4, atol=1e-2)
    assert value.min() >= 0
    assert torch.autograd.grad(value.sum(), student)[0].isfinite().all()


def test_equal_maps_are_exactly_zero() -> None:
    student, _ = pair(torch.float32, 2, 7, 5, 6)
    value = channel_kl(student, student.detach(), 0.7)
    assert value.abs().max() == 0
    assert torch.autograd.grad(value.sum(), student)[0].abs().max() == 0


@COMPILES
def test_compiles_as_one_graph() -> None:
    student, teacher = pair(torch.float32, 2, 7, 5, 6)
    compiles_as_one_graph(lambda s: channel_kl(s, teacher, 2.0), student)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        channel_kl(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 4, 3))


@pytest.mark.parametrize("groups", [Groups(), Groups(2), Groups(2, torch.tensor([4, 0, 3, 1, 2]))], ids=str)
def test_no_images_have_no_divergence(groups: Groups) -> None:
    student = torch.zeros(0, 5, 4, 6, requires_grad=True)
    value = channel_kl(student, student.detach(), 2.0, groups)
    assert value.shape == channel_kl_reference(student, student.detach(), 2.0, groups).shape
    assert torch.autograd.grad(value.sum(), student)[0].shape == student.shape


def test_an_order_of_single_channels_is_that_of_the_values() -> None:
    groups = Groups(1, torch.tensor([4, 0, 3, 1, 2]))
    student, teacher = pair(torch.float64, 2, 5, 4, 6)
    value = channel_kl(student, teacher, 2.0, groups)
    torch.testing.assert_close(value, channel_kl_reference(student, teacher, 2.0, groups))
    torch.testing.assert_close(value, channel_kl(student, teacher, 2.0)[:, groups.order])
