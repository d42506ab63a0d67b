"""FitNet: a mean squared error, and nothing is broadcast."""

import pytest
import torch

from densekd.losses.fitnet import FitNet


def test_by_hand() -> None:
    student, teacher = torch.tensor([1.0, 2, 3, 4]).view(1, 2, 1, 2), torch.tensor([0.0, 2, 5, 1]).view(1, 2, 1, 2)
    assert FitNet()(student, teacher).item() == pytest.approx((1 + 0 + 4 + 9) / 4)


def test_half_precision_is_widened_before_the_square() -> None:
    student, teacher = torch.full((1, 2, 3, 3), 300.0).half(), torch.zeros(1, 2, 3, 3).half()
    assert FitNet()(student, teacher).item() == 90000


@pytest.mark.parametrize("shape", [(2, 1, 4, 4), (1, 3, 4, 4), (2, 3, 1, 4)])
def test_what_would_broadcast_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"one shape, got \[2, 3, 4, 4\]"):
        FitNet()(torch.ones(2, 3, 4, 4), torch.ones(shape))
