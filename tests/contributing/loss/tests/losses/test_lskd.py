import pytest
import torch
from densekd.losses.lskd import LSKD


def test_two_classes_by_hand() -> None:
    """Two classes standardize to +-1, so that the divergence depends on the order of the logits alone."""
    student = torch.tensor([3.0, -1.0]).reshape(1, 2, 1, 1)
    teacher = torch.tensor([0.1, 7.0]).reshape(1, 2, 1, 1)
    # With T = 1 the shares are p and 1 - p for p = sigmoid(2): KL = (2 p - 1) * log(p / (1 - p)).
    p = torch.sigmoid(torch.tensor(2.0)).item()
    assert LSKD(1.0)(student, teacher).item() == pytest.approx((2 * p - 1) * 2.0, rel=1e-4)


def test_scale_and_shift_of_the_logits_do_not_matter() -> None:
    torch.manual_seed(0)
    student, teacher = torch.randn(2, 5, 3, 4), torch.randn(2, 5, 3, 4)
    value = LSKD()(student, teacher)
    torch.testing.assert_close(LSKD()(3 * student + 1, 0.5 * teacher - 2), value, rtol=1e-3, atol=1e-5)
