"""DKD: the parts add up to plain distillation; void positions; certainty without NaN."""

from typing import Any

import pytest
import torch
from torch import Tensor

from densekd.losses.dkd import DKD
from densekd.losses.pixel import Pixel

VOID = 255


def maps() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    student, teacher = (3 * torch.randn(2, 5, 4, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    return student.requires_grad_(), teacher, torch.randint(5, (2, 8, 12), generator=generator)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_parts_add_up(temperature: float) -> None:
    """KL = KL of the label against the rest + (1 - p_label) KL of the rest (eq. 6), position by position."""
    student, teacher, labels = maps()
    for i, j in ((0, 0), (1, 3), (3, 5)):
        s, t = student[:1, :, i : i + 1, j : j + 1], teacher[:1, :, i : i + 1, j : j + 1]
        label = labels[:1, 2 * i : 2 * i + 1, 2 * j : 2 * j + 1]
        rest = 1 - (t / temperature).softmax(1)[0, int(label)].item()
        wanted = Pixel(VOID, temperature)(s, t).item()
        assert DKD(VOID, temperature, 1.0, rest)(s, t, label).item() == pytest.approx(wanted, rel=1e-9)


def test_the_rest_does_not_see_the_label() -> None:
    student, teacher, labels = maps()
    loss, near = DKD(VOID, alpha=0.0, beta=1.0), labels[:, ::2, ::2]
    moved = student.detach().scatter_add(1, near[:, None], 50 * torch.rand(2, 1, 4, 6, dtype=torch.float64))
    assert loss(moved, teacher, labels).item() == pytest.approx(loss(student, teacher, labels).item(), rel=1e-12)


@pytest.mark.parametrize("reduction", ["pixel", "sum"])
def test_void_positions_change_nothing(reduction: Any) -> None:
    student, teacher, labels = maps()
    labels[:, :, ::3] = VOID
    void = (labels[:, ::2, ::2] == VOID)[:, None]
    loss = DKD(VOID, 2.0, reduction=reduction)
    (gradient,) = torch.autograd.grad(loss(student, teacher, labels), student)
    changed = torch.where(void, 40.0, student.detach())
    after = loss(changed, torch.where(void, -9.0, teacher), labels)
    assert after.item() == loss(student, teacher, labels).item()
    assert 0 < void.double().mean().item() < 1
    assert gradient.where(void, 0).abs().max().item() == 0


def test_the_mean_is_over_labelled_positions() -> None:
    student, teacher, labels = maps()
    labels[:, 2:] = VOID
    top = labels[:, :2]
    alone = DKD(VOID)(student[:, :, :1], teacher[:, :, :1], top)
    assert DKD(VOID)(student, teacher, labels).item() == pytest.approx(alone.item(), rel=1e-12)


def test_all_void_is_zero() -> None:
    student, teacher, labels = maps()
    value = DKD(VOID)(student, teacher, torch.full_like(labels, VOID))
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == 0
    assert gradient.abs().max().item() == 0


def test_certain_and_wrong() -> None:
    """The teacher is sure of the label, the student of another class by 200."""
    student, teacher = torch.zeros(1, 3, 1, 1), torch.zeros(1, 3, 1, 1)
    student[0, 1], teacher[0, 0] = 200, 200
    labels = torch.zeros(1, 1, 1, dtype=torch.int64)
    value = DKD(VOID, alpha=1.0, beta=0.0)(student.requires_grad_(), teacher, labels)
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == pytest.approx(200, rel=1e-6)
    assert gradient.flatten().tolist() == pytest.approx([-1, 1, 0], abs=1e-6)


def test_one_class_has_no_rest() -> None:
    student = torch.randn(1, 1, 2, 2, requires_grad=True)
    value = DKD(VOID)(student, torch.randn(1, 1, 2, 2), torch.zeros(1, 2, 2, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == 0
    assert gradient.abs().max().item() == 0


def test_labels_are_needed() -> None:
    student, teacher, _ = maps()
    with pytest.raises(ValueError, match=r"this loss needs labels \[2, H, W\].*; there are none"):
        DKD(VOID)(student, teacher)
