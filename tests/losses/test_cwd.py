"""CWD of maps that are upsampled inside the loss: as of maps that were upsampled before."""

from typing import Any

import pytest
import torch

from densekd.kernels import Upsample
from densekd.losses.cwd import CWD


@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 4.0},
        {"temperature": 0.5, "normalize": "spatial"},
        {"divergence": "mse"},
    ],
)
def test_upsampling_inside_is_upsampling_before(options: dict[str, Any]) -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (3 * torch.randn(2, 5, 4, 6, generator=generator) for _ in range(2))
    loss, to = CWD(**options), Upsample((9, 11))
    torch.testing.assert_close(loss.resized(student, teacher, to), loss(to(student), to(teacher)))
