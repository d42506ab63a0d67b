"""The decoupled divergence against the formula over probabilities, with autograd's gradient."""

import pytest
import torch
from torch import Tensor

from densekd.kernels.decoupled_kl import decoupled_kl

WEIGHTS = (0.7, 3.0)


def literal(student: Tensor, teacher: Tensor, label: Tensor, temperature: float) -> Tensor:
    """alpha KL over (label, rest) plus beta KL over the rest, written out in probabilities."""
    q, p = ((x / temperature).softmax(1) for x in (student, teacher))
    total = torch.zeros_like(p[:, 0])
    one_hot = torch.zeros_like(p).scatter(1, label, 1)
    for part in (one_hot, 1 - one_hot):
        a, b = (p * part).sum(1), (q * part).sum(1)
        total = total + WEIGHTS[0] * a * (a.log() - b.log())
    p, q = (x * (1 - one_hot) / (x * (1 - one_hot)).sum(1, keepdim=True) for x in (p, q))
    return total + WEIGHTS[1] * (p * ((p + one_hot).log() - (q + one_hot).log())).sum(1)


def problem(*shape: int) -> tuple[Tensor, Tensor, Tensor]:
    student, teacher = (3 * torch.randn(shape, dtype=torch.float64) for _ in range(2))
    label = torch.randint(shape[1], (shape[0], 1, *shape[2:]))
    return student.requires_grad_(), teacher, label


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("shape", [(2, 5, 3, 4), (1, 2, 1, 1)], ids=str)
def test_equals_the_formula(shape: tuple[int, ...], temperature: float) -> None:
    student, teacher, label = problem(*shape)
    ours = decoupled_kl(student, teacher, label, WEIGHTS, temperature)
    wanted = literal(student, teacher, label, temperature)
    torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-13)
    weight = torch.rand_like(ours)
    gradients = (torch.autograd.grad((x * weight).sum(), student)[0] for x in (ours, wanted))
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-13)


def test_channels_last_changes_nothing() -> None:
    student, teacher, label = problem(2, 5, 3, 4)
    last = [x.detach().to(memory_format=torch.channels_last) for x in (student, teacher)]
    results = []
    for s, t in ((student, teacher), (last[0].requires_grad_(), last[1])):
        value = decoupled_kl(s, t, label, WEIGHTS, 2.0)
        results.append((value, torch.autograd.grad(value.sum(), s)[0]))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


def test_equal_tensors_have_no_gradient() -> None:
    student, _, label = problem(2, 5, 3, 4)
    value = decoupled_kl(student, student.detach(), label, WEIGHTS, 2.0)
    assert value.abs().max() == 0
    assert torch.autograd.grad(value.sum(), student)[0].abs().max() == 0


def test_one_class_has_no_rest() -> None:
    student, teacher, label = problem(2, 1, 3, 4)
    value = decoupled_kl(student, teacher, label, WEIGHTS, 2.0)
    assert value.abs().max() == 0
    assert torch.autograd.grad(value.sum(), student)[0].abs().max() == 0


def test_inputs_are_left_as_they_are() -> None:
    student, teacher, label = problem(2, 5, 3, 4)
    before = [x.detach().clone() for x in (student, teacher)]
    decoupled_kl(student, teacher, label, WEIGHTS, 1.0)
    assert all(torch.equal(x, y) for x, y in zip((student, teacher), before, strict=True))
