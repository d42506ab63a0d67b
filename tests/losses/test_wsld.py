"""WSLD: the weight at its ends, void positions, certainty without NaN."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.losses.wsld import WSLD

VOID = 255


def maps() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    student, teacher = (3 * torch.randn(2, 5, 4, 6, generator=generator, dtype=torch.float64) for _ in range(2))
    return student.requires_grad_(), teacher, torch.randint(5, (2, 8, 12), generator=generator)


def test_equally_wrong_weighs_one_minus_one_over_e() -> None:
    student, _, labels = maps()
    teacher, near = student.detach(), labels[:, ::2, ::2]
    soft = F.cross_entropy(student / 2, (teacher / 2).softmax(1), reduction="none")
    assert F.cross_entropy(student, near, reduction="none").min().item() > 1e-3
    wanted = 4 * (1 - torch.tensor(-1.0).exp().item()) * soft.mean().item()
    assert WSLD(VOID, 2.0)(student, teacher, labels).item() == pytest.approx(wanted, rel=1e-4)


def test_a_student_that_is_right_learns_nothing() -> None:
    _, teacher, _ = maps()
    labels = torch.zeros(2, 4, 6, dtype=torch.int64)
    student = torch.zeros(2, 5, 4, 6, dtype=torch.float64)
    student[:, 0] = 100
    assert WSLD(VOID)(student, teacher, labels).item() == 0


def test_a_teacher_that_is_certain_weighs_one() -> None:
    student, _, labels = maps()
    teacher = 400.0 * F.one_hot(labels[:, ::2, ::2], 5).movedim(3, 1).double()
    hard = F.cross_entropy(student / 2, labels[:, ::2, ::2])
    assert WSLD(VOID, 2.0)(student, teacher, labels).item() == pytest.approx(4 * hard.item(), rel=1e-6)


def test_no_gradient_through_the_weight() -> None:
    student, teacher, labels = maps()
    (gradient,) = torch.autograd.grad(WSLD(VOID, 2.0)(student, teacher, labels), student)
    # The cross-entropy alone moves the logits of a position by p_student - p_teacher, which has no sum.
    direction = (student.detach() / 2).softmax(1) - (teacher / 2).softmax(1)
    torch.testing.assert_close(F.normalize(gradient, dim=1), F.normalize(direction, dim=1), rtol=1e-6, atol=1e-9)


def test_void_positions_change_nothing() -> None:
    student, teacher, labels = maps()
    labels[:, 2:] = VOID
    alone = WSLD(VOID)(student[:, :, :1], teacher[:, :, :1], labels[:, :2])
    value = WSLD(VOID)(student, teacher, labels)
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == pytest.approx(alone.item(), rel=1e-12)
    assert gradient[:, :, 1:].abs().max().item() == 0


def test_all_void_is_zero() -> None:
    student, teacher, labels = maps()
    value = WSLD(VOID)(student, teacher, torch.full_like(labels, VOID))
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == 0
    assert gradient.abs().max().item() == 0


def test_labels_are_needed() -> None:
    student, teacher, _ = maps()
    with pytest.raises(ValueError, match=r"this loss needs labels \[2, H, W\].*; there are none"):
        WSLD(VOID)(student, teacher)
