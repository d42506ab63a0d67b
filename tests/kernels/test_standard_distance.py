"""The distance of standardized maps against the formula, with autograd's gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.kernels.standard_distance import standard_distance


def literal(student: Tensor, teacher: Tensor) -> Tensor:
    s, t = ((x - x.mean((0, 2, 3), keepdim=True)) / (x.std((0, 2, 3), keepdim=True) + 1e-6) for x in (student, teacher))
    return F.mse_loss(s, t)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 100.0])
@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 2, 1, 3)], ids=str)
def test_equals_the_formula(shape: tuple[int, ...], scale: float) -> None:
    """A scale of 1e-6 is one that the 1e-6 beside the deviation is not small against."""
    student, teacher = (scale * torch.randn(shape, dtype=torch.float64) + 3 for _ in range(2))
    student.requires_grad_()
    ours, wanted = standard_distance(student, teacher), literal(student, teacher)
    torch.testing.assert_close(ours, wanted, rtol=1e-9, atol=0)
    (gradient,), (expected,) = (torch.autograd.grad(x, student) for x in (ours, wanted))
    torch.testing.assert_close(gradient, expected, rtol=1e-7, atol=1e-9 * expected.abs().max().item())


def test_precise_near_agreement() -> None:
    """One minus the correlation would have lost all digits of a difference of 1e-4."""
    student = torch.randn(2, 3, 16, 16)
    teacher = student + 1e-4 * torch.randn(2, 3, 16, 16)
    wanted = literal(student.double(), teacher.double()).item()
    assert standard_distance(student, teacher).item() == pytest.approx(wanted, rel=1e-3)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 3, 1, 1)], ids=str)
def test_a_constant_student_is_finite(shape: tuple[int, ...]) -> None:
    student = torch.full(shape, 3.0, requires_grad=True)
    value = standard_distance(student, torch.randn(shape))
    assert value.isfinite()
    assert torch.autograd.grad(value, student)[0].isfinite().all()
