"""The divergence kernel against its literal formula."""

import pytest
import torch
from kernel_cases import COMPILES
from torch import Tensor

from densekd.kernels.softmax_kl import soft_cross_entropy, softmax_kl

PRECISIONS = pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16], ids=str)


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


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
@pytest.mark.parametrize("function", [softmax_kl, soft_cross_entropy])
def test_the_gradient_is_the_difference_of_the_distributions(function: type, temperature: float) -> None:
    student, teacher = pair(torch.float64, 2, 3, 4)
    assert torch.autograd.gradcheck(lambda s: function(s, teacher, 1, temperature), student.requires_grad_())
    weight = torch.rand(2, 4, dtype=torch.float64)
    (gradient,) = torch.autograd.grad((function(student, teacher, 1, temperature) * weight).sum(), student)
    p, q = ((x.detach() / temperature).softmax(1) for x in (teacher, student))
    torch.testing.assert_close(gradient, (q - p) * weight[:, None] / temperature, rtol=1e-12, atol=1e-15)


@PRECISIONS
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_value_and_gradient_in_any_precision(dtype: torch.dtype, temperature: float) -> None:
    """Half precision is computed in float32, temperature and all: only the gradient is rounded at the end."""
    student, teacher = pair(dtype, 2, 64, 5)
    student.requires_grad_()
    value = softmax_kl(student, teacher, 1, temperature)
    exact = student.detach().double().requires_grad_()
    wanted = literal(exact / temperature, teacher.double() / temperature, 1)
    rtol = 1e-12 if dtype == torch.float64 else 1e-5
    torch.testing.assert_close(value.double(), wanted, rtol=rtol, atol=0)
    (gradient,), (expected,) = torch.autograd.grad(value.sum(), student), torch.autograd.grad(wanted.sum(), exact)
    assert gradient.dtype == dtype
    tolerance = max(rtol, torch.finfo(dtype).eps)
    torch.testing.assert_close(gradient.double(), expected, rtol=tolerance, atol=1e-8)


@PRECISIONS
@pytest.mark.parametrize("dim", [1, 3])
def test_channels_last_changes_nothing(dtype: torch.dtype, dim: int) -> None:
    student, teacher = pair(dtype, 2, 5, 4, 6)
    last = [x.to(memory_format=torch.channels_last) for x in (student, teacher)]
    results = []
    for s, t in ((student, teacher), last):
        value = softmax_kl(s.requires_grad_(), t, dim, 2.0)
        results.append((value, torch.autograd.grad(value.sum(), s)[0]))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


@PRECISIONS
def test_identical_tensors_are_exactly_zero(dtype: torch.dtype) -> None:
    student, _ = pair(dtype, 2, 5, 4)
    value = softmax_kl(student.requires_grad_(), student.detach(), 1, 0.7)
    assert value.abs().max() == 0
    assert torch.autograd.grad(value.sum(), student)[0].abs().max() == 0


@pytest.mark.parametrize("function", [softmax_kl, soft_cross_entropy])
def test_one_class_alone_is_certain(function: type) -> None:
    student, teacher = pair(torch.float32, 2, 1, 4)
    value = function(student.requires_grad_(), teacher, 1, 2.0)
    assert value.abs().max() == 0
    assert torch.autograd.grad(value.sum(), student)[0].abs().max() == 0


@pytest.mark.parametrize("scale", [1e4, 1e30])
def test_huge_logits(scale: float) -> None:
    student, teacher = pair(torch.float32, 2, 5, 4)
    value = softmax_kl((student * scale).requires_grad_(), teacher * scale, 1)
    assert value.isfinite().all()
    assert value.min() >= 0


def test_autocast_changes_nothing() -> None:
    student, teacher = pair(torch.float32, 2, 5, 4)
    student.requires_grad_()
    plain = softmax_kl(student, teacher, 1, 2.0)
    with torch.autocast("cpu", torch.bfloat16):
        inside = softmax_kl(student, teacher, 1, 2.0)
    assert torch.equal(inside, plain)
    assert torch.equal(*(torch.autograd.grad(x.sum(), student)[0] for x in (inside, plain)))


@COMPILES
@PRECISIONS
def test_compiles_as_one_graph(dtype: torch.dtype) -> None:
    student, teacher = pair(dtype, 2, 5, 4)
    compiled = torch.compile(softmax_kl, fullgraph=True, backend="aot_eager")
    ours, eager = (f(student.requires_grad_(), teacher, 1, 2.0) for f in (compiled, softmax_kl))
    assert torch.equal(ours, eager)
    assert torch.equal(*(torch.autograd.grad(x.sum(), student)[0] for x in (ours, eager)))


@pytest.mark.parametrize("function", [softmax_kl, soft_cross_entropy])
def test_inputs_are_left_as_they_are_and_the_teacher_gets_nothing(function: type) -> None:
    student, teacher = (x.requires_grad_() for x in pair(torch.float32, 2, 3, 4))
    before = [x.detach().clone() for x in (student, teacher)]
    value = function(student, teacher, 1, 1.0)
    assert torch.autograd.grad(value.sum(), (student, teacher), allow_unused=True)[1] is None
    assert all(torch.equal(x, y) for x, y in zip((student, teacher), before, strict=True))


def test_cross_entropy_is_the_divergence_plus_the_entropy() -> None:
    student, teacher = pair(torch.float64, 3, 4, 5)
    p = (teacher / 2).softmax(1)
    ours = soft_cross_entropy(student, teacher, 1, 2.0)
    torch.testing.assert_close(ours, softmax_kl(student, teacher, 1, 2.0) - (p * p.log()).sum(1))


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
