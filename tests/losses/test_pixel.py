"""The cross-entropies among the pixel-wise losses; the divergence itself is in the laws."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.losses.pixel import Pixel

VOID = 255


def maps(*shape: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    student, teacher = (3 * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return student, teacher


@pytest.mark.parametrize("reduction", ["pixel", "element", "batch", "sum"])
@pytest.mark.parametrize("void", ["kept", "masked"])
def test_soft_ce_is_kl_plus_the_teachers_entropy(reduction: Any, void: Any) -> None:
    student, teacher = maps(2, 5, 4, 6)
    student.requires_grad_()
    labels = torch.randint(5, (2, 8, 12))
    labels[:, :3] = VOID
    kl, ce = (Pixel(VOID, 2.0, reduction, "squared", void, d)(student, teacher, labels) for d in ("kl", "soft_ce"))
    kept = (labels[:, ::2, ::2] != VOID) if void == "masked" else torch.ones(2, 4, 6, dtype=torch.bool)
    entropy = -((teacher / 2).softmax(1) * (teacher / 2).log_softmax(1)).sum(1)[kept].sum()
    divisor: Any = {"pixel": kept.sum(), "element": 5 * kept.sum(), "batch": 2, "sum": 1}[reduction]
    assert ce.item() == pytest.approx((kl + 4 * entropy / divisor).item(), rel=1e-12)
    gradients = [torch.autograd.grad(value, student)[0] for value in (kl, ce)]
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("void", ["kept", "masked"])
def test_hard_ce_is_the_cross_entropy_with_the_teachers_classes(void: Any) -> None:
    student, teacher = maps(2, 5, 4, 6)
    labels = torch.randint(5, (2, 4, 6))
    labels[0, 0] = VOID
    goal = teacher.argmax(1)
    expected = F.cross_entropy(
        student, goal.where(labels != VOID, VOID) if void == "masked" else goal, ignore_index=VOID
    )
    value = Pixel(VOID, void=void, divergence="hard_ce")(student, teacher, labels)
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)


def test_by_hand() -> None:
    """Teacher (1/4, 3/4), student (1/2, 1/2): both cross-entropies are log 2."""
    student, teacher = torch.zeros(1, 2, 1, 1), torch.tensor([1.0, 3.0]).log().view(1, 2, 1, 1)
    divergence: Any
    for divergence in ("soft_ce", "hard_ce"):
        value = Pixel(VOID, divergence=divergence)(student, teacher)
        assert value.item() == pytest.approx(torch.tensor(2.0).log().item(), rel=1e-6)


@pytest.mark.parametrize("divergence", ["soft_ce", "hard_ce"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_summed_in_full(divergence: Any, dtype: torch.dtype) -> None:
    student, teacher = (x.to(dtype) for x in maps(2, 5, 16, 16))
    loss = Pixel(VOID, divergence=divergence)
    value = loss(student, teacher)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(student.double(), teacher.double()).item(), rel=1e-5)


@pytest.mark.parametrize("divergence", ["soft_ce", "hard_ce"])
def test_all_void_is_zero(divergence: Any) -> None:
    student, teacher = maps(2, 5, 4, 6)
    value = Pixel(VOID, void="masked", divergence=divergence)(
        student.requires_grad_(), teacher, torch.full((2, 4, 6), VOID)
    )
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == 0
    assert gradient.abs().max().item() == 0
