"""The channel-wise divergence against its formula in plain operations."""

from collections.abc import Callable

import pytest
import torch
from kernel_cases import COMPILES, GROUPS, LAYOUTS, ORDER, PRECISIONS, Layout, agree, pair
from torch import Tensor

from densekd.kernels import Groups, channel_kl, divergence, pixel_kl
from densekd.kernels.channel_kl import channel_kl_reference
from densekd.kernels.pixel_kl import pixel_kl_reference


@PRECISIONS
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
@pytest.mark.parametrize("groups", GROUPS, ids=["1", "3", "3 permuted", "all", "more than all"])
def test_equals_the_reference(dtype: torch.dtype, layout: Layout, groups: Groups) -> None:
    student, teacher = pair(dtype, 2, 7, 5, 6)
    s, t = layout(student.detach().clone()).requires_grad_(), layout(teacher)
    agree(channel_kl(s, t, 2.0, groups), channel_kl_reference(s, t, 2.0, groups), s)


@pytest.mark.parametrize("held", [1, 40, 1 << 17])
@pytest.mark.parametrize("layout", ["contiguous", "channels last"])
def test_blocks_of_any_size(held: int, layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """70 channels: channels-last maps of so many are read row by row."""
    for module in (channel_kl, pixel_kl):
        monkeypatch.setitem(module.__wrapped__.__globals__, "BLOCK_NUMEL", held)
    student, teacher = (LAYOUTS[layout](x.detach()) for x in pair(torch.float64, 2, 70, 3, 4))
    student.requires_grad_()
    for groups in (Groups(), Groups(4)):
        agree(channel_kl(student, teacher, 1.0, groups), channel_kl_reference(student, teacher, 1.0, groups), student)
    agree(pixel_kl(student, teacher), pixel_kl_reference(student, teacher), student)


@PRECISIONS
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_pixels_equal_the_reference(dtype: torch.dtype, layout: Layout) -> None:
    student, teacher = pair(dtype, 2, 7, 5, 6)
    s, t = layout(student.detach().clone()).requires_grad_(), layout(teacher)
    agree(pixel_kl(s, t, 2.0), pixel_kl_reference(s, t, 2.0), s)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 3, 5), (2, 7, 1, 1), (1, 3, 1, 7)], ids=str)
def test_one_of_something(shape: tuple[int, ...]) -> None:
    student, teacher = pair(torch.float64, *shape)
    agree(channel_kl(student, teacher), channel_kl_reference(student, teacher), student)
    agree(pixel_kl(student, teacher), pixel_kl_reference(student, teacher), student)


@pytest.mark.parametrize("function", [channel_kl, pixel_kl])
def test_gradcheck(function: Callable[..., Tensor]) -> None:
    student, teacher = pair(torch.float64, 2, 3, 2, 4)
    assert torch.autograd.gradcheck(lambda s: function(s, teacher, 3.0), student)


def test_gradcheck_of_groups() -> None:
    student, teacher = pair(torch.float64, 1, 7, 2, 2)
    assert torch.autograd.gradcheck(lambda s: channel_kl(s, teacher, 3.0, Groups(3, ORDER)), student)


@pytest.mark.parametrize("function", [channel_kl, pixel_kl])
def test_huge_logits(function: Callable[..., Tensor]) -> None:
    student, teacher = pair(torch.float32, 2, 7, 5, 6, scale=1e4)
    value = function(student, teacher)
    exact = function(student.double(), teacher.double())
    torch.testing.assert_close(value.double(), exact, rtol=1e-4, atol=1e-2)
    assert value.min() >= 0
    assert torch.autograd.grad(value.sum(), student)[0].isfinite().all()


@pytest.mark.parametrize("function", [channel_kl, pixel_kl])
def test_equal_maps_are_exactly_zero(function: Callable[..., Tensor]) -> None:
    student, _ = pair(torch.float32, 2, 7, 5, 6)
    value = function(student, student.detach(), 0.7)
    assert value.abs().max() == 0
    assert torch.autograd.grad(value.sum(), student)[0].abs().max() == 0


@COMPILES
@pytest.mark.parametrize("function", [channel_kl, pixel_kl])
def test_compiles_as_one_graph(function: Callable[..., Tensor]) -> None:
    student, teacher = pair(torch.float32, 2, 7, 5, 6)
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    ours, eager = (f(student, teacher, 2.0) for f in (compiled, function))
    assert torch.equal(ours, eager)
    assert torch.equal(*(torch.autograd.grad(x.sum(), student)[0] for x in (ours, eager)))


@pytest.mark.parametrize("function", [channel_kl, pixel_kl])
def test_other_shapes_are_refused(function: Callable[..., Tensor]) -> None:
    with pytest.raises(ValueError, match="one shape"):
        function(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 4, 3))


def test_parts_of_a_distribution_add_up() -> None:
    """Taken apart along one axis and joined again, a divergence is what it was."""
    student, teacher = (x.detach() for x in pair(torch.float64, 4, 6))
    apart = divergence.softmax_(student.clone(), teacher.clone(), torch.empty_like(student), 1)
    joined = divergence.Divergence(*(x[:, 0] for x in apart)).joined(0)
    whole = channel_kl_reference(student.view(1, 1, 24), teacher.view(1, 1, 24))
    torch.testing.assert_close(joined.kl, whole[0, 0])
    torch.testing.assert_close(joined.student, student.flatten().logsumexp(0))
