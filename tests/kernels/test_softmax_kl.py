"""The divergence kernel against its literal formula."""

import pytest
import torch
from torch import Tensor

from densekd.kernels import softmax_kl


def literal(student: Tensor, teacher: Tensor, dim: int) -> Tensor:
    """sum p (log p - log q), written out."""
    p, q = (x.double().exp() / x.double().exp().sum(dim, keepdim=True) for x in (teacher, student))
    return (p * (p.log() - q.log())).sum(dim)


def pair(dtype: torch.dtype, *shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    student, teacher = (2 * torch.randn(shape, generator=generator) for _ in range(2))
    return student.to(dtype), teacher.to(dtype)


@pytest.mark.parametrize("dim", [0, 1, 2, -1])
def test_equals_the_literal_formula(dim: int) -> None:
    student, teacher = pair(torch.float64, 3, 4, 5)
    torch.testing.assert_close(softmax_kl(student, teacher, dim), literal(student, teacher, dim), rtol=1e-12, atol=0)


def test_by_hand() -> None:
    """Teacher (1/2, 1/2), student (1/4, 3/4): log 2 - log(3) / 2."""
    student, teacher = torch.tensor([[1.0, 3.0]]).log(), torch.zeros(1, 2)
    assert softmax_kl(student, teacher, 1).tolist() == pytest.approx([0.14384103622589045])


def test_gradcheck() -> None:
    student, teacher = pair(torch.float64, 2, 3, 4)
    assert torch.autograd.gradcheck(lambda s: softmax_kl(s, teacher, 1), student.requires_grad_())
    p, q = teacher.softmax(1), student.detach().softmax(1)
    (gradient,) = torch.autograd.grad(softmax_kl(student, teacher, 1).sum(), student)
    torch.testing.assert_close(gradient, q - p)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_accumulates_in_float32(dtype: torch.dtype) -> None:
    """Over 4096 positions a sum in eight bits would be off by percents; the rounding of the inputs is no error."""
    student, teacher = pair(dtype, 2, 4096)
    value = softmax_kl(student, teacher, 1)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value.double(), literal(student, teacher, 1), rtol=1e-5, atol=0)


def test_zero_probabilities_add_nothing() -> None:
    student, teacher = torch.tensor([[0.0, -1e4, 0.0]]), torch.tensor([[1e4, -1e4, 0.0]])
    assert softmax_kl(student, teacher, 1).tolist() == pytest.approx([0.6931471805599453])


def test_other_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \[2, 3\] and \[1, 3\]"):
        softmax_kl(torch.zeros(2, 3), torch.zeros(1, 3), 1)
