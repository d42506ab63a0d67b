"""A backward pass that refuses to be differentiated, also where torch's own guard would not notice."""

from typing import Any

import pytest
import torch
from torch import Tensor

from densekd.ops.once_differentiable import once_differentiable


class Square(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 2 * x * upstream


def test_the_first_derivative_is_plain() -> None:
    x = torch.tensor([1.0, -3.0], requires_grad=True)
    (gradient,) = torch.autograd.grad(Square.apply(x).sum(), x)
    assert gradient.tolist() == [2, -6]


def test_a_gradient_penalty_is_refused() -> None:
    """The upstream gradient is a constant without a graph of its own."""
    x = torch.tensor([1.0, -3.0], requires_grad=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(Square.apply(x).sum(), x, create_graph=True)
