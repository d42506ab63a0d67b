"""Precisions to compute in."""

import pytest
import torch
from torch import nn

from densekd.ops.precision import call_in_precision, compute_dtype, grad_like, to_float32


@pytest.mark.parametrize(
    ("dtypes", "wanted"),
    [
        ([torch.bfloat16, torch.float16], torch.float32),
        ([torch.float32, torch.bfloat16], torch.float32),
        ([torch.float16, torch.float64], torch.float64),
    ],
    ids=str,
)
def test_at_least_float32(dtypes: list[torch.dtype], wanted: torch.dtype) -> None:
    inputs = [torch.zeros(1, dtype=dtype) for dtype in dtypes]
    assert compute_dtype(*inputs) == wanted
    assert all(to_float32(x).dtype == compute_dtype(x) for x in inputs)


def test_gradients_have_the_layout_of_the_map() -> None:
    x = torch.zeros(2, 3, 4, 5)
    assert grad_like(x.to(memory_format=torch.channels_last)).stride() == (60, 1, 15, 3)
    assert grad_like(x.mT).is_contiguous()
    assert grad_like(x.half()).dtype == torch.float32
    assert grad_like(x.bfloat16()).dtype == torch.bfloat16


def test_a_module_is_called_in_the_precision_of_its_input() -> None:
    module = nn.Linear(3, 2, dtype=torch.bfloat16)
    x = torch.randn(4, 3, dtype=torch.float64)
    y = call_in_precision(module, x)
    torch.testing.assert_close(y, x @ module.weight.double().T + module.bias.double())
    y.sum().backward()
    assert module.weight.grad is not None
    assert module.weight.grad.dtype == torch.bfloat16
    assert call_in_precision(module, x.bfloat16()).dtype == torch.bfloat16
