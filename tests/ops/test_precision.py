"""Floating point precision of losses."""

import pytest
import torch

from densekd.ops.precision import to_float32


@pytest.mark.parametrize(
    ("given", "wide"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
    ids=str,
)
def test_half_precision_becomes_float32(given: torch.dtype, wide: torch.dtype) -> None:
    assert to_float32(torch.ones(2, dtype=given)).dtype == wide
