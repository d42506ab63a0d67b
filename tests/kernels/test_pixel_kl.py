"""The pixel-wise divergence against its formula in plain operations."""

import pytest
import torch
from kernel_cases import COMPILES, LAYOUTS, PRECISIONS, CountedOperations, Layout, agree, compiles_as_one_graph, pair

from densekd.kernels import pixel_kl
from densekd.kernels.pixel_kl import cpu_blocked, pixel_kl_reference


@PRECISIONS
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_equals_the_reference(dtype: torch.dtype, layout: Layout) -> None:
    student, teacher = pair(dtype, 2, 7, 5, 6)
    s, t = layout(student.detach().clone()).requires_grad_(), layout(teacher)
    agree(pixel_kl(s, t, 2.0), pixel_kl_reference(s, t, 2.0), s)


@pytest.mark.parametrize("numel", [1, 40, 1 << 17])
@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
def test_blocks_of_any_size(numel: int, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pixel_kl.__wrapped__.__globals__, "BLOCK_NUMEL", numel)
    monkeypatch.setitem(pixel_kl.__wrapped__.__globals__, "_LEAST", 1)
    student, teacher = (LAYOUTS[layout](x.detach()) for x in pair(torch.float64, 2, 70, 3, 4))
    student.requires_grad_()
    agree(pixel_kl(student, teacher), pixel_kl_reference(student, teacher), student)


@pytest.mark.parametrize("channels", [19, 150])
@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
def test_small_images_are_one_block(layout: str, channels: int) -> None:
    """As many operations for four images as for one, and the bits of each image alone."""
    student, teacher = (LAYOUTS[layout](x.detach()) for x in pair(torch.float32, 4, channels, 4, 8))
    value, grad = cpu_blocked(student, teacher, 4.0)
    first = (student[:1], teacher[:1])
    with CountedOperations() as four:
        cpu_blocked(student, teacher, 4.0)
    with CountedOperations() as one:
        alone, grad_alone = cpu_blocked(*first, 4.0)
    assert four.count == one.count
    assert torch.equal(value[:1], alone)
    assert torch.equal(grad[:1], grad_alone)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 3, 5), (2, 7, 1, 1), (1, 3, 1, 7)], ids=str)
def test_one_of_something(shape: tuple[int, ...]) -> None:
    student, teacher = pair(torch.float64, *shape)
    agree(pixel_kl(student, teacher), pixel_kl_reference(student, teacher), student)


def test_gradcheck() -> None:
    student, teacher = pair(torch.float64, 2, 3, 2, 4)
    assert torch.autograd.gradcheck(lambda s: pixel_kl(s, teacher, 3.0), student)


def test_huge_logits() -> None:
    student, teacher = pair(torch.float32, 2, 7, 5, 6, scale=1e4)
    value = pixel_kl(student, teacher)
    exact = pixel_kl(student.double(), teacher.double())
    torch.testing.assert_close(value.double(), exact, rtol=1e-4, atol=1e-2)
    assert value.min() >= 0
    assert torch.autograd.grad(value.sum(), student)[0].isfinite().all()


def test_equal_maps_are_exactly_zero() -> None:
    student, _ = pair(torch.float32, 2, 7, 5, 6)
    value = pixel_kl(student, student.detach(), 0.7)
    assert value.abs().max() == 0
    assert torch.autograd.grad(value.sum(), student)[0].abs().max() == 0


@COMPILES
def test_compiles_as_one_graph() -> None:
    student, teacher = pair(torch.float32, 2, 7, 5, 6)
    compiles_as_one_graph(lambda s: pixel_kl(s, teacher, 2.0), student)


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        pixel_kl(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 4, 3))
