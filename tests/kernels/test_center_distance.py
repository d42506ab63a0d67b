"""The distance of cosines to class centers against the formula position by position, with autograd's gradient."""

import pytest
import torch
from torch import Tensor

from densekd.kernels.center_distance import center_distance

K = 4


def literal(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    total = student.new_zeros(())
    for b, n in (labels >= 0).nonzero().tolist():
        cosines = []
        for x in (student[b], teacher[b]):
            own = labels[b] == labels[b, n]
            center = x[:, own].sum(1) / (own.sum() + 1e-6)
            cosines.append(x[:, n] @ center / (x[:, n].norm() * center.norm()))
        total = total + (cosines[0] - cosines[1]).square()
    return total


def problem() -> tuple[Tensor, Tensor, Tensor]:
    """Return maps of 5 and 6 channels, and labels of which some are left out and one class does not occur."""
    student, teacher = (torch.randn(2, C, 12, dtype=torch.float64) for C in (5, 6))
    labels = torch.randint(-1, K - 1, (2, 12))
    assert (labels < 0).any()
    return student.requires_grad_(), teacher, labels


def test_equals_the_formula() -> None:
    student, teacher, labels = problem()
    ours, wanted = center_distance(student, teacher, labels, K), literal(student, teacher, labels)
    torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=0)
    (gradient,), (expected,) = (torch.autograd.grad(x, student) for x in (ours, wanted))
    torch.testing.assert_close(gradient, expected, rtol=1e-9, atol=1e-12)


def test_gradcheck() -> None:
    student, teacher, labels = problem()
    assert torch.autograd.gradcheck(lambda s: center_distance(s, teacher, labels, K), student)


@pytest.mark.parametrize("student", [torch.zeros(1, 3, 6), torch.tensor([1.0, -1.0] * 9).view(1, 3, 6)], ids=str)
def test_without_direction_it_is_finite(student: Tensor) -> None:
    """All features, or all centers, have length zero."""
    student = student.clone().requires_grad_()
    value = center_distance(student, torch.randn(1, 3, 6), torch.zeros(1, 6, dtype=torch.int64), 2)
    assert value.isfinite()
    assert torch.autograd.grad(value, student)[0].isfinite().all()
