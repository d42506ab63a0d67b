"""Mini-batch relations: released numbers, the formula written out, borders."""

import pytest
import torch
import torch.nn.functional as F
from formula_inputs import STUDENT, TEACHER

from densekd.losses.cirkd.minibatch import CIRKDMiniBatch


def test_released_number() -> None:
    student = STUDENT.clone().requires_grad_()
    value = CIRKDMiniBatch()(student, TEACHER)
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == pytest.approx(4.8610154317, abs=6e-11)
    assert gradient.norm().item() == pytest.approx(0.2580596055, abs=6e-11)


def test_equals_the_formula_over_pairs_of_images() -> None:
    student, teacher = STUDENT[:, :, :3, :4], TEACHER[:, :4, :3, :4]
    s, t = (F.normalize(x, dim=1).flatten(2) for x in (student, teacher))
    total = 0.0
    for i in range(2):
        for j in range(2):
            q, p = ((x[i].T @ x[j] / 0.5).softmax(1) for x in (s, t))
            total += (p * (p / q).log()).sum().item() / 12
    assert CIRKDMiniBatch(0.5)(student, teacher).item() == pytest.approx(total / 4, rel=1e-12)


def test_groups_are_the_mean_of_what_processes_compare() -> None:
    generator = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(4, 3, 4, 5, generator=generator, dtype=torch.float64) for _ in range(2))
    student.requires_grad_()
    plain = CIRKDMiniBatch()
    for size in (1, 2):
        processes = [plain(*pair) for pair in zip(student.split(size), teacher.split(size), strict=True)]
        value, expected = CIRKDMiniBatch(images_per_group=size)(student, teacher), torch.stack(processes).mean()
        assert value.item() == pytest.approx(expected.item(), rel=1e-12)
        assert value.item() != pytest.approx(plain(student, teacher).item(), rel=1e-3)
        torch.testing.assert_close(torch.autograd.grad(value, student), torch.autograd.grad(expected, student))
    # Groups that are larger than the batch are the batch; what is left over counts by its images.
    assert CIRKDMiniBatch(images_per_group=8)(student, teacher).item() == plain(student, teacher).item()
    three = (3 * plain(student[:3], teacher[:3]) + plain(student[3:], teacher[3:])) / 4
    assert CIRKDMiniBatch(images_per_group=3)(student, teacher).item() == pytest.approx(three.item(), rel=1e-12)


def test_maps_of_256_are_pooled() -> None:
    generator = torch.Generator().manual_seed(0)
    student, teacher = (torch.randn(1, 2, 256, 257, generator=generator) for _ in range(2))
    pooled = [F.avg_pool2d(x, 4, 4, ceil_mode=True) for x in (student, teacher)]
    assert pooled[0].shape[2:] == (64, 65)
    assert CIRKDMiniBatch()(student, teacher).item() == pytest.approx(CIRKDMiniBatch()(*pooled).item(), rel=1e-5)


def test_pixels_without_direction_take_no_part() -> None:
    """A ReLU leaves pixels at zero in all channels; dividing by 1e-12 would send them gradients of 1e12."""
    student = STUDENT.float().relu()
    student[:, :, 2, 3] = 0
    student.requires_grad_()
    (gradient,) = torch.autograd.grad(CIRKDMiniBatch()(student, TEACHER.float()), student)
    assert gradient[:, :, 2, 3].abs().max().item() == 0
    assert gradient.isfinite().all()
    assert gradient.abs().max().item() < 10


def test_teacher_receives_no_gradient() -> None:
    teacher = TEACHER.clone().requires_grad_()
    CIRKDMiniBatch()(STUDENT.clone().requires_grad_(), teacher).backward()
    assert teacher.grad is None


def test_errors() -> None:
    with pytest.raises(ValueError, match=r"\[2, 6, 8, 8\] and \[2, 6, 8, 7\]"):
        CIRKDMiniBatch()(STUDENT, TEACHER[..., :7])
