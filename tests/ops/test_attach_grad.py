"""A gradient that is attached: it is the derivative, it is all that is kept, and there is no second one."""

import pytest
import torch
from torch import Tensor

from densekd.ops.attach_grad import attach_grad, attach_own_grad


def cubes(x: Tensor) -> Tensor:
    """Sum of cubes along the last axis."""
    with torch.no_grad():
        value, grad = x.pow(3).sum(-1, keepdim=True), 3 * x.square()
    return attach_grad(value, x, grad)


def test_gradcheck() -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(cubes, x)


def test_what_the_value_depends_on_already_remains() -> None:
    x, y = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    value = attach_grad((x * x).sum(), y, torch.full_like(y, 5.0))
    by_x, by_y = torch.autograd.grad(2 * value, (x, y))
    assert value.item() == x.square().sum().item()
    assert torch.equal(by_x, 4 * x.detach())
    assert torch.equal(by_y, torch.full_like(y, 10.0))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_the_gradient_has_the_precision_of_what_it_belongs_to(dtype: torch.dtype) -> None:
    x = torch.ones(4, dtype=dtype, requires_grad=True)
    attach_grad(torch.zeros(()), x, torch.tensor([1.0, 2.0, 3.0, 1 / 3])).backward()
    assert x.grad is not None
    assert x.grad.dtype == dtype
    assert torch.equal(x.grad, torch.tensor([1.0, 2.0, 3.0, 1 / 3]).to(dtype))


@pytest.mark.parametrize("shape", [(), (1, 1, 1), (2, 1, 1), (2, 3, 1), (1, 3, 5)], ids=str)
def test_a_narrow_gradient_is_rounded_once(shape: tuple[int, ...]) -> None:
    x = torch.randn(2, 3, 5, dtype=torch.bfloat16, requires_grad=True)
    grad, upstream = torch.randn(2, 3, 5).bfloat16(), torch.randn(shape)
    expected = (grad.float() * upstream).bfloat16()
    attach_grad(torch.zeros(shape), x, grad).backward(upstream)
    assert x.grad is not None
    assert torch.equal(x.grad, expected)


def test_a_second_derivative_is_refused() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    with pytest.raises(NotImplementedError, match="no second derivative"):
        torch.autograd.grad(cubes(x).sum(), x, create_graph=True)


def test_backward_twice_gives_the_same() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    total = cubes(x).sum()
    first, second = (torch.autograd.grad(total, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_the_gradient_alone_is_kept() -> None:
    kept: list[Tensor] = []
    x = torch.randn(3, 4, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda y: kept.append(y) or y, lambda y: y):
        cubes(x)
    (grad,) = kept
    assert torch.equal(grad, 3 * x.detach().square())


def test_a_tensor_is_its_own_gradient_and_survives_the_backward_pass() -> None:
    x = torch.randn(3, 4, requires_grad=True)
    before = x.detach().clone()
    (gradient,) = torch.autograd.grad(2 * attach_own_grad(x.detach().square().sum() / 2, x), x)
    assert torch.equal(gradient, 2 * before)
    assert torch.equal(x.detach(), before)
