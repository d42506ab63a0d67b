"""Vectors of length one, and what has no direction."""

import pytest
import torch
import torch.nn.functional as F

from densekd.ops.unit import unit


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_equals_normalize(dim: int) -> None:
    x = torch.randn(3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(unit(x, dim), F.normalize(x, dim=dim))
    assert torch.autograd.gradcheck(lambda y: unit(y, dim), x.requires_grad_())


@pytest.mark.parametrize("scale", [0.0, 1e-30, 1e30], ids=str)
def test_without_direction_there_is_no_gradient(scale: float) -> None:
    x = torch.full((2, 3), scale).requires_grad_()
    y = unit(x, 1)
    (gradient,) = torch.autograd.grad((y * torch.arange(3.0)).sum(), x)
    assert y.isfinite().all()
    assert gradient.abs().max().item() == 0


def test_a_second_derivative_is_refused() -> None:
    x = torch.randn(2, 3, requires_grad=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(unit(x, 1).square().sum(), x, create_graph=True)
