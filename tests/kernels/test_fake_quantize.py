"""Fake quantization: the formula, torch's operator, and the clipped straight-through gradient."""

import pytest
import torch

from densekd.kernels import using
from densekd.kernels.fake_quantize import fake_quantize, fake_quantize_reference


def test_by_hand() -> None:
    """Steps of 0.5 around the integer 2: 0 is exact, ties go to even, what is beyond 0..7 is clipped."""
    x = torch.tensor([-3.0, -1.0, -0.25, 0.0, 0.25, 0.75, 0.8, 2.5, 9.0], requires_grad=True)
    y = fake_quantize(x, torch.tensor(0.5), torch.tensor(2, dtype=torch.int32), 0, 7)
    assert y.tolist() == [-1.0, -1.0, 0.0, 0.0, 0.0, 1.0, 1.0, 2.5, 2.5]
    y.backward(torch.arange(9.0))
    assert x.grad is not None
    # Clipped values get no gradient, the others all of it.
    assert x.grad.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 0]


@pytest.mark.parametrize("axis", [None, 0, 1])
@pytest.mark.parametrize("limits", [(0, 255), (-128, 127), (-127, 127)])
def test_equals_torch_in_float64(axis: int | None, limits: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(5, 4, 6, 3, generator=generator, dtype=torch.float64)
    shape = () if axis is None else (x.shape[axis],)
    scale = 0.002 + 0.02 * torch.rand(shape, generator=generator)
    # A symmetric grid has its zero at 0.
    zero_point = torch.full(shape, 90 if limits[0] == 0 else 0, dtype=torch.int32)
    weight = torch.randn(x.shape, generator=generator, dtype=torch.float64)
    values, gradients = [], []
    for function in (fake_quantize, fake_quantize_reference):
        leaf = x.clone().requires_grad_()
        value = function(leaf, scale, zero_point, *limits, axis)
        (value * weight).sum().backward()
        values.append(value)
        gradients.append(leaf.grad)
    # torch multiplies by a single step in the step's own precision, float32.
    tolerance = 2e-7 if axis is None else 1e-12
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=tolerance)
    assert gradients[0] is not None
    assert torch.equal(gradients[0], gradients[1])
    # Something was clipped, and something was not.
    assert 0 < (gradients[0] == 0).sum() < x.numel()


def test_the_reference_runs_where_it_is_asked_for() -> None:
    x = torch.randn(3, 4).requires_grad_()
    step = (torch.tensor(0.25), torch.tensor(0, dtype=torch.int32), -8, 7)
    with using("reference"):
        y = fake_quantize(x, *step)
    assert type(y.grad_fn).__name__ == "AddBackward0"
    assert torch.equal(y, fake_quantize(x, *step))


def test_the_memory_format_stays() -> None:
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    y = fake_quantize(x, torch.tensor(0.1), torch.tensor(0, dtype=torch.int32), -128, 127)
    assert y.is_contiguous(memory_format=torch.channels_last)
