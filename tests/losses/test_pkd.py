"""PKD: one minus Pearson's correlation, resizing, constant channels."""

import pytest
import torch
import torch.nn.functional as F

from densekd.losses.pkd import PKD


def test_one_minus_the_correlation() -> None:
    """With n - 1 in the deviation and n in the mean: (n - 1) / n (1 - r), up to the 1e-6 beside the deviation."""
    student, teacher = torch.randn(3, 1, 4, 5, dtype=torch.float64), torch.randn(3, 1, 4, 5, dtype=torch.float64)
    correlation = torch.corrcoef(torch.stack([student.flatten(), teacher.flatten()]))[0, 1].item()
    assert PKD()(student, teacher).item() == pytest.approx((1 - correlation) * 59 / 60, rel=1e-5)


def test_scale_and_offset_of_a_channel_do_not_matter() -> None:
    student, teacher = torch.randn(2, 5, 4, 6, dtype=torch.float64), torch.randn(2, 5, 4, 6, dtype=torch.float64)
    moved = student * (0.5 + torch.rand(5, 1, 1)) + torch.randn(5, 1, 1)
    assert PKD()(moved, teacher).item() == pytest.approx(PKD()(student, teacher).item(), rel=1e-5)


@pytest.mark.parametrize("size", [(8, 12), (4, 9), (7, 6)])
def test_either_is_resized(size: tuple[int, int]) -> None:
    student, teacher = torch.randn(2, 3, 4, 6), torch.randn(2, 3, *size)
    larger = F.interpolate(student, size=size, mode="bilinear")
    assert PKD()(student, teacher).item() == PKD()(larger, teacher).item()
    smaller = F.interpolate(teacher, size=(4, 6), mode="bilinear")
    assert PKD("teacher")(student, teacher).item() == PKD("teacher")(student, smaller).item()


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 3, 1, 1)])
def test_constant_channels(shape: tuple[int, ...]) -> None:
    student, teacher = torch.full(shape, 3.0, requires_grad=True), torch.full(shape, -1.0)
    value = PKD()(student, teacher)
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == 0
    assert gradient.abs().max().item() == 0


@pytest.mark.parametrize("wrong", [(2, 4, 4, 6), (1, 3, 4, 6)])
def test_other_batches_and_channels_are_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one shape") as caught:
        PKD()(torch.randn(2, 3, 4, 6), torch.randn(wrong))
    assert str(list(wrong)) in str(caught.value)
