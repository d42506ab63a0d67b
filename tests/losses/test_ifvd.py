"""Intra-class variation: against a loop over classes, void labels, dead features, memory."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.losses.ifvd import IFVD

VOID = 255


def literal(student: Tensor, teacher: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """One class after the other, as the formula is written."""
    similarities = []
    for x in (student, teacher):
        center = x.clone()
        for b in range(len(x)):
            for k in range(num_classes):
                mask = labels[b] == k
                if mask.any():
                    mean = x[b][:, mask].sum(1) / (mask.sum() + 1e-6)
                    center = torch.where((torch.arange(len(x)) == b)[:, None, None, None] & mask, mean[:, None, None],
                                         center)  # fmt: skip
        similarities.append(F.cosine_similarity(x, center, dim=1))
    return (similarities[0] - similarities[1]).square().mean()


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Return a student, a teacher with more channels, and labels of 4 classes with void and foreign pixels."""
    generator = torch.Generator().manual_seed(5)
    student, teacher = (torch.randn(3, C, 6, 7, generator=generator, dtype=torch.float64) for C in (4, 6))
    labels = torch.randint(0, 5, (3, 6, 7), generator=generator)
    labels[0, 2:4] = VOID
    labels[1, labels[1] == 2] = 0
    labels[2, 0, 0] = -1
    return student.requires_grad_(), teacher, labels


def value_and_gradient(value: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    (gradient,) = torch.autograd.grad(value, student)
    return value.detach(), gradient


@pytest.mark.parametrize("num_classes", [1, 4, 5, 50])
def test_equals_the_loop_over_classes(num_classes: int) -> None:
    student, teacher, labels = inputs()
    ours = value_and_gradient(IFVD(num_classes, VOID)(student, teacher, labels), student)
    wanted = value_and_gradient(literal(student, teacher, labels, num_classes), student)
    torch.testing.assert_close(ours, wanted, rtol=1e-9, atol=1e-12)


def test_by_hand() -> None:
    """Two pixels of one class, at right angles in the student (cosine 1 / sqrt 2 each), alike in the teacher (1)."""
    student, teacher = torch.zeros(1, 2, 1, 2), torch.ones(1, 3, 1, 2)
    student[0, 0, 0, 0] = student[0, 1, 0, 1] = 1
    value = IFVD(1, VOID)(student, teacher, torch.zeros(1, 1, 2, dtype=torch.int64))
    assert value.item() == pytest.approx((1 - 0.5**0.5) ** 2, rel=1e-5)


def test_labels_come_by_nearest_neighbour() -> None:
    student, teacher, labels = inputs()
    enlarged = labels.repeat_interleave(3, 1).repeat_interleave(2, 2)
    loss = IFVD(4, VOID)
    assert loss(student, teacher, enlarged).item() == loss(student, teacher, labels).item()


def test_void_pixels_change_nothing() -> None:
    student, teacher, labels = inputs()
    void = ((labels == VOID) | (labels >= 4) | (labels < 0))[:, None]
    loss = IFVD(4, VOID)
    before, gradient = value_and_gradient(loss(student, teacher, labels), student)
    changed = torch.where(void, 50.0, student.detach()).requires_grad_()
    after, after_gradient = value_and_gradient(loss(changed, torch.where(void, -9.0, teacher), labels), changed)
    assert 0 < void.double().mean().item() < 1
    assert after.item() == pytest.approx(before.item(), rel=1e-12)
    torch.testing.assert_close(after_gradient, gradient)
    assert gradient.where(void, 0).abs().max().item() == 0


def test_a_void_label_among_the_classes_is_void() -> None:
    student, teacher, labels = inputs()
    moved = labels.where(labels != 1, VOID)
    assert IFVD(4, 1)(student, teacher, labels).item() == pytest.approx(
        IFVD(4, VOID)(student, teacher, moved).item(), rel=1e-12
    )


def test_divisors() -> None:
    student, teacher, labels = inputs()
    labelled = ((labels >= 0) & (labels < 4)).sum().item()
    everywhere = IFVD(4, VOID)(student, teacher, labels).item()
    assert IFVD(4, VOID, "labelled")(student, teacher, labels).item() == pytest.approx(
        everywhere * labels.numel() / labelled, rel=1e-12
    )


@pytest.mark.parametrize("mean", ["all", "labelled"])
def test_all_void_is_zero(mean: str) -> None:
    student, teacher, labels = inputs()
    loss = IFVD(4, VOID, mean)  # type: ignore[arg-type]
    value, gradient = value_and_gradient(loss(student, teacher, torch.full_like(labels, VOID)), student)
    assert value.item() == 0
    assert gradient.abs().max().item() == 0


def test_classes_are_counted_per_image() -> None:
    student, teacher, labels = inputs()
    alone = [IFVD(4, VOID)(student[b : b + 1], teacher[b : b + 1], labels[b : b + 1]).item() for b in range(3)]
    assert IFVD(4, VOID)(student, teacher, labels).item() == pytest.approx(sum(alone) / 3, rel=1e-12)


def test_large_maps_in_half_precision_count_right() -> None:
    """4096 pixels of one class: a sum in bfloat16 would stop growing at 256."""
    student = torch.ones(1, 2, 64, 64, dtype=torch.bfloat16)
    teacher = student * torch.tensor([1, -1], dtype=torch.bfloat16)[:, None, None]
    labels = torch.zeros(1, 64, 64, dtype=torch.int64)
    assert IFVD(1, VOID)(student, teacher, labels).item() == pytest.approx(0, abs=1e-10)


def test_what_it_needs() -> None:
    student, teacher, labels = inputs()
    with pytest.raises(ValueError, match="needs labels"):
        IFVD(4, VOID)(student, teacher, None)
    with pytest.raises(ValueError, match=r"one shape but for the channels, got \[3, 4, 6, 7\] and \[3, 6, 6, 6\]"):
        IFVD(4, VOID)(student, teacher[..., :6], labels)
