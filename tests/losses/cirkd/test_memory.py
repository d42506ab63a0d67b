"""Memory relations: released numbers, what the queues hold, draws, void pixels, errors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from formula_inputs import STUDENT, TEACHER
from torch import Tensor, nn

from densekd.losses.cirkd import memory_bank
from densekd.losses.cirkd.memory import CIRKDMemory
from densekd.losses.cirkd.memory_bank import MemoryBank

VOID = 255
KK = torch.arange(512).view(2, 16, 16)
LABELS = (7 * KK) // 5 % 7 - 1


def in_order(n: int, seeds: Tensor) -> Tensor:
    return torch.arange(n).repeat(len(seeds), 1)


def make(**options: Any) -> CIRKDMemory:
    """A small memory for 3 -> 4 channels and 3 classes."""
    torch.manual_seed(0)
    sizes = {"pixel_memory_size": 20, "region_memory_size": 3, "pixel_contrast_size": 20, "region_contrast_size": 5}
    return CIRKDMemory(3, 4, 3, VOID, **(sizes | options))


def batch() -> tuple[Tensor, Tensor, Tensor]:
    """Student, teacher and labels of the same size; image 1 has no class 2, both have void pixels."""
    generator = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(2, C, 5, 6, generator=generator) for C in (3, 4))
    labels = torch.randint(3, (2, 5, 6), generator=generator)
    labels[1][labels[1] == 2] = 0
    labels[:, 0, :2] = VOID
    return student.requires_grad_(), teacher, labels


@pytest.mark.parametrize(
    ("enqueue", "weights", "value"),
    [
        ("as_released", (1.0, 0.0), 7.2395176888),
        ("class", (1.0, 0.0), 7.7585639954),
        ("as_released", (0.0, 1.0), 8.9228687286),
        ("class", (0.0, 1.0), 8.9228687286),
        ("class", (0.1, 0.2), 0.77585639954 + 2 * 0.89228687286),
    ],
)
def test_released_numbers(enqueue: Any, weights: tuple[float, float], value: float, monkeypatch: Any) -> None:
    """Without the bug the pixel term is another number, which was worked out apart from this code."""
    monkeypatch.setattr(memory_bank, "permutations", in_order)
    # Slots of each class: 41 // 6 + 1 = 7 and 29 // 6 + 1 = 5.
    loss = CIRKDMemory(6, 6, 6, -1, 40, 20, 41, 29, pixel_weight=weights[0], region_weight=weights[1], enqueue=enqueue)
    identity = nn.Conv2d(6, 6, 1, bias=False)
    identity.weight.data = torch.eye(6)[..., None, None]
    loss.project_head = nn.Sequential(identity)
    loss.memory.pixels.keys.copy_(F.normalize(torch.sin(0.3 * torch.arange(1440) + 0.5).view(6, 40, 6), dim=2))
    loss.memory.regions.keys.copy_(F.normalize(torch.cos(0.2 * torch.arange(720)).view(6, 20, 6), dim=2))
    assert loss(STUDENT.float(), TEACHER.float(), LABELS).item() == pytest.approx(value, rel=1e-5)


def test_pixel_queues_hold_pixels_of_their_class() -> None:
    loss, (student, teacher, labels) = make(), batch()
    before = loss.memory.pixels.keys.clone()
    loss(student, teacher, labels)
    vectors = F.normalize(teacher, dim=1).flatten(2)
    for c in range(3):
        own = torch.cat([vectors[b][:, labels[b].flatten() == c] for b in range(2)], 1).T
        changed = (loss.memory.pixels.keys[c] != before[c]).any(1)
        counts = [min(16, int((labels[b] == c).sum())) for b in range(2)]
        assert 0 < changed.sum() <= sum(counts)
        distance = torch.cdist(loss.memory.pixels.keys[c][changed], own, compute_mode="donot_use_mm_for_euclid_dist")
        # Every remembered vector is one pixel of the class, and no two are the same one.
        assert distance.min(1).values.max().item() < 1e-6
        assert len(set(distance.argmin(1).tolist())) == int(changed.sum())


def test_as_released_takes_positions_of_the_whole_map(monkeypatch: Any) -> None:
    monkeypatch.setattr(memory_bank, "permutations", in_order)
    loss, (student, teacher, labels) = make(enqueue="as_released"), batch()
    loss(student[:1], teacher[:1], labels[:1])
    first = F.normalize(teacher[0], dim=0).flatten(1).T
    for c in range(3):
        n = min(16, int((labels[0] == c).sum()))
        assert loss.memory.pixels.pointer[c].item() == n
        torch.testing.assert_close(loss.memory.pixels.keys[c, :n], first[:n])


def test_region_queue_holds_the_means() -> None:
    loss, (student, teacher, labels) = make(), batch()
    before = loss.memory.regions.keys.clone()
    loss(student, teacher, labels)
    assert loss.memory.regions.pointer.tolist() == [2, 2, 1]
    vectors = F.normalize(teacher, dim=1).flatten(2)
    for c, images in enumerate(([0, 1], [0, 1], [0])):
        for slot, b in enumerate(images):
            mean = vectors[b][:, labels[b].flatten() == c].mean(1)
            torch.testing.assert_close(loss.memory.regions.keys[c, slot], F.normalize(mean, dim=0))
    torch.testing.assert_close(loss.memory.regions.keys[2, 1:], before[2, 1:], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("pointer", "count", "slots", "after"),
    [
        (0, 3, [0, 1, 2], 3),
        (4, 2, [4, 5], 6),
        (4, 3, [4, 5, 6], 0),
        (5, 3, [4, 5, 6], 0),
        (6, 0, [], 6),
        (2, 1, [2], 3),
    ],
)
def test_a_queue_that_is_full_fills_its_last_slots(pointer: int, count: int, slots: list[int], after: int) -> None:
    queues = MemoryBank(2, 7, 2)
    queues.pointer.fill_(pointer)
    before = queues.keys.clone()
    keys = torch.arange(12.0).view(2, 3, 2)
    queues.write(keys, torch.tensor([count, 0]))
    expected = before.clone()
    expected[0, slots] = keys[0, :count]
    torch.testing.assert_close(queues.keys, expected, rtol=0, atol=0)
    assert queues.pointer.tolist() == [after, pointer]


def test_draws_do_not_touch_the_global_generator() -> None:
    loss, data = make(), batch()
    state = torch.get_rng_state()
    loss(*data)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_training_step_draws_anew_and_evaluation_changes_nothing() -> None:
    loss, (student, teacher, labels) = make(), batch()
    values = [loss(student, teacher, labels).item() for _ in range(3)]
    assert len(set(values)) == 3
    loss.eval()
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    again = [loss(student, teacher, labels).item() for _ in range(2)]
    assert again[0] == again[1]
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


def test_resumed_training_continues_exactly() -> None:
    whole, (student, teacher, labels) = make(), batch()
    whole(student, teacher, labels)
    torch.manual_seed(99)
    resumed = CIRKDMemory(3, 4, 3, VOID, 20, 3, 20, 5)
    resumed.load_state_dict(whole.state_dict())
    for _ in range(2):
        assert resumed(student, teacher, labels).item() == whole(student, teacher, labels).item()
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_all_void_is_zero_and_leaves_the_queues() -> None:
    loss, (student, teacher, labels) = make(), batch()
    before = {name: buffer.clone() for name, buffer in loss.named_buffers() if "keys" in name or "pointer" in name}
    value = loss(student, teacher, torch.full_like(labels, VOID))
    (gradient,) = torch.autograd.grad(value, student)
    assert value.item() == 0
    assert gradient.abs().max().item() == 0
    assert all(torch.equal(loss.get_buffer(name), buffer) for name, buffer in before.items())


def test_void_pixels_of_the_teacher_change_nothing() -> None:
    losses, (student, teacher, labels) = (make(), make()), batch()
    other = torch.where((labels == VOID)[:, None], 50.0, teacher)
    values = [loss(student, t, labels).item() for loss, t in zip(losses, (teacher, other), strict=True)]
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*(x.buffers() for x in losses), strict=True))


@pytest.mark.parametrize("stray", [-1, 3, 200])
def test_labels_outside_the_classes_are_void(stray: int) -> None:
    losses, (student, teacher, labels) = (make(), make()), batch()
    strayed = labels.where(labels != VOID, stray)
    values = [loss(student, teacher, y).item() for loss, y in zip(losses, (labels, strayed), strict=True)]
    assert values[0] == values[1]


def test_queues_shorter_than_an_update() -> None:
    loss = make(pixel_memory_size=4, region_memory_size=1)
    assert loss(*batch()).isfinite()
    assert loss.memory.pixels.pointer.max().item() <= 3
    assert loss.memory.regions.pointer.tolist() == [0, 0, 0]


def test_temperatures_divide_and_the_square_multiplies() -> None:
    """Similarities divided by T kd_T: (0.2, 1) and (0.1, 2) differ by the factor kd_T^2 alone."""
    first, second = make(contrast_temperature=0.2), make(contrast_temperature=0.1, contrast_kd_temperature=2.0)
    assert second(*batch()).item() == pytest.approx(4 * first(*batch()).item(), rel=1e-6)


def test_half_precision_and_float64_inputs() -> None:
    student, teacher, labels = batch()
    for dtype, result in ((torch.bfloat16, torch.float32), (torch.float64, torch.float64)):
        value = make()(student.to(dtype), teacher.to(dtype), labels)
        assert value.dtype == result
        assert value.item() == pytest.approx(make()(student, teacher, labels).item(), rel=0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda s, t, y: make()(s, t, None), r"labels \[2, H, W\].* there are none"),
        (lambda s, t, y: make()(s, t, y[:1]), r"labels \[2, H, W\].* got \[1, 5, 6\]"),
        (lambda s, t, y: make()(s, t[..., :5], y), r"\[2, 3, 5, 6\] and \[2, 4, 5, 5\]"),
        (lambda s, t, y: make()(s[:, :2], t, y), r"3 student channels, got \[2, 2, 5, 6\]"),
        (lambda s, t, y: make()(s, t[:, :3], y), r"4 teacher channels, got \[2, 3, 5, 6\]"),
    ],
)
def test_errors(wrong: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong(*batch())
