"""A convolution of upsampled and concatenated maps: equal to the plain one, also in its gradients."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from densekd.kernels import using
from densekd.kernels.joined_convolution import joined_convolution, joined_convolution_reference

PYRAMID = ((5, 8, 6), (7, 1, 1), (7, 2, 2), (4, 3, 3), (3, 8, 6), (2, 4, 3))  # the last has more cells than channels
STRIDES = ((4, 12, 8), (4, 6, 4), (4, 3, 2), (4, 1, 1))


def make(sizes: Sequence[tuple[int, int, int]], k: int, layout: torch.memory_format) -> tuple[list[Tensor], Tensor]:
    torch.manual_seed(0)
    parts = [torch.randn(2, *size, dtype=torch.float64).contiguous(memory_format=layout) for size in sizes]
    weight = torch.randn(3, sum(size[0] for size in sizes), k, k, dtype=torch.float64)
    return [x.requires_grad_() for x in parts], weight.requires_grad_()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("sizes", [PYRAMID, STRIDES, PYRAMID[:1], ((3, 1, 1), (2, 1, 1)), ((3, 2, 9), (80, 6, 6))])
@pytest.mark.parametrize("like", [0, -1])
def test_equals_the_plain_formula(
    sizes: Sequence[tuple[int, int, int]], like: int, k: int, align_corners: bool, layout: torch.memory_format
) -> None:
    """Also where a map is larger than the one that has the size."""
    parts, weight = make(sizes, k, layout)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True)
    found = []
    for function in (joined_convolution, joined_convolution_reference):
        y = function(parts, weight, bias, like, align_corners)
        found.append((y, *torch.autograd.grad(y.sin().sum(), [*parts, weight, bias])))
    for ours, plain in zip(*found, strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-10, atol=1e-10)


def test_gradcheck() -> None:
    parts, weight = make(((2, 4, 4), (5, 2, 2)), 3, torch.contiguous_format)
    assert torch.autograd.gradcheck(lambda *xs: joined_convolution(xs[1:], xs[0], None), (weight, *parts))


def test_the_choice_holds() -> None:
    """The reference rounds otherwise: in float32 the two differ, but by little."""
    torch.manual_seed(0)
    parts, weight = [torch.randn(1, 64, n, n) for n in (16, 8, 4)], torch.randn(8, 192, 1, 1)
    ours = joined_convolution(parts, weight, None)
    with using("reference"):
        plain = joined_convolution(parts, weight, None)
    assert torch.equal(plain, joined_convolution_reference(parts, weight, None))
    assert not torch.equal(ours, plain)
    torch.testing.assert_close(ours, plain, rtol=0, atol=1e-5 * plain.abs().max().item())


@pytest.mark.parametrize("k", [1, 3])
def test_half_precision_and_compiled(k: int) -> None:
    parts = [x.detach().bfloat16() for x in make(PYRAMID, k, torch.channels_last)[0]]
    weight = torch.randn(3, 28, k, k, dtype=torch.bfloat16)
    plain = joined_convolution_reference([x.float() for x in parts], weight.float(), None)
    ours = joined_convolution(parts, weight, None)
    assert ours.dtype == torch.bfloat16
    torch.testing.assert_close(ours.float(), plain, rtol=0, atol=2e-2 * plain.abs().max().item())
    compiled = torch.compile(lambda: joined_convolution(parts, weight, None), backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(), ours, rtol=0, atol=1e-2 * plain.abs().max().item())
