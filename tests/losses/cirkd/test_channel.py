"""Channel relations: released numbers, the queue, sizes, errors."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from formula_inputs import STUDENT, TEACHER
from torch import Tensor, nn

from densekd.losses.cirkd import memory_bank
from densekd.losses.cirkd.channel import CIRKDChannel


def in_order(n: int, seeds: Tensor) -> Tensor:
    return torch.arange(n).repeat(len(seeds), 1)


def make(**options: Any) -> CIRKDChannel:
    """A small memory for 3 -> 4 channels on maps of 6x9, which leave partial windows."""
    torch.manual_seed(0)
    sizes = {"channel_memory_size": 20, "channel_contrast_size": 10, "channel_update_freq": 5}
    return CIRKDChannel(3, 4, (6, 9), **(sizes | options))


def maps() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    student, teacher = (torch.randn(2, C, 6, 9, generator=generator) for C in (3, 4))
    return student.requires_grad_(), teacher


@pytest.mark.parametrize(
    ("weights", "value"),
    [
        ((1.0, 0.0, 0.0), 1.4105470181),
        ((0.0, 1.0, 0.0), 8.1231031418),
        ((0.0, 0.0, 1.0), 0.4319895804),
        ((1.0, 0.1, 100.0), 1.4105470181 + 0.81231031418 + 43.19895804),
    ],
)
def test_released_numbers(weights: tuple[float, float, float], value: float, monkeypatch: Any) -> None:
    monkeypatch.setattr(memory_bank, "permutations", in_order)
    loss = CIRKDChannel(6, 6, (8, 8), 40, 16, 256, 0.1, 1.0, *weights)
    identity = nn.Conv2d(6, 6, 1, bias=False)
    identity.weight.data = torch.eye(6)[..., None, None]
    loss.project_head = nn.Sequential(identity)
    loss.channels.keys.copy_(F.normalize(torch.sin(0.3 * torch.arange(160) + 0.5).view(1, 40, 4), dim=2))
    assert loss(STUDENT.float(), TEACHER.float()).item() == pytest.approx(value, rel=1e-5)


def test_the_temperature_of_the_memory_by_hand() -> None:
    """kd_T^2 KL of similarities to remembered channels, at the temperature T kd_T."""
    weights = {"batch_weight": 0.0, "memory_weight": 1.0, "mse_weight": 0.0}
    loss = make(contrast_temperature=0.2, contrast_kd_temperature=3.0, channel_contrast_size=20, **weights).eval()
    student, teacher = maps()
    value = loss(student, teacher)
    projected = loss.project_head(F.avg_pool2d(student, 4, 4, ceil_mode=True))
    s = F.normalize(projected.flatten(2), dim=2).flatten(0, 1)
    t = F.normalize(F.avg_pool2d(teacher, 4, 4, ceil_mode=True).flatten(2), dim=2).flatten(0, 1)
    bank = loss.channels.keys[0]
    log_q, log_p = ((x @ bank.mT / 0.6).log_softmax(1) for x in (s, t))
    expected = 9 * F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)
    torch.testing.assert_close(value, expected)


def test_the_queue_remembers_different_channels_of_the_batch() -> None:
    loss, (student, teacher) = make(), maps()
    before = loss.channels.keys.clone()
    loss(student, teacher)
    assert loss.channels.pointer.tolist() == [5]
    rows = F.normalize(F.avg_pool2d(teacher, 4, 4, ceil_mode=True).flatten(2), dim=2).flatten(0, 1)
    distance = torch.cdist(loss.channels.keys[0, :5], rows, compute_mode="donot_use_mm_for_euclid_dist")
    assert distance.min(1).values.max().item() < 1e-6
    assert len(set(distance.argmin(1).tolist())) == 5
    assert torch.equal(loss.channels.keys[:, 5:], before[:, 5:])


def test_a_batch_smaller_than_an_update() -> None:
    loss = make(channel_update_freq=256)
    loss(*maps())
    assert loss.channels.pointer.tolist() == [8]
    loss(*maps())
    assert loss.channels.pointer.tolist() == [16]
    loss(*maps())
    assert loss.channels.pointer.tolist() == [0]


def test_resumed_training_continues_exactly_and_evaluation_changes_nothing() -> None:
    whole, (student, teacher) = make(), maps()
    whole(student, teacher)
    torch.manual_seed(99)
    resumed = CIRKDChannel(3, 4, (6, 9), 20, 10, 5)
    resumed.load_state_dict(whole.state_dict())
    assert resumed(student, teacher).item() == whole(student, teacher).item()
    whole.eval()
    before = {name: value.clone() for name, value in whole.state_dict().items()}
    assert whole(student, teacher).item() == whole(student, teacher).item()
    assert all(torch.equal(value, before[name]) for name, value in whole.state_dict().items())


def test_groups_are_the_mean_of_what_processes_compare() -> None:
    student, teacher = maps()
    batch_alone = {"memory_weight": 0.0, "mse_weight": 0.0}
    plain = make(**batch_alone).eval()
    grouped = make(**batch_alone, images_per_group=1).eval()
    one_by_one = [plain(student[k : k + 1], teacher[k : k + 1]).item() for k in range(2)]
    assert grouped(student, teacher).item() == pytest.approx(sum(one_by_one) / 2, rel=1e-6)
    assert grouped(student, teacher).item() != pytest.approx(plain(student, teacher).item(), rel=1e-3)


def test_constant_maps_are_finite() -> None:
    student = torch.ones(2, 3, 6, 9, requires_grad=True)
    value = make()(student, torch.zeros(2, 4, 6, 9))
    (gradient,) = torch.autograd.grad(value, student)
    assert value.isfinite()
    assert gradient.isfinite().all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda s, t: make()(s, t[..., :5]), r"\[2, 3, 6, 9\] and \[2, 4, 6, 5\]"),
        (lambda s, t: make()(s[..., :5], t[..., :5]), r"teacher of \[4, 6, 9\], got \[2, 4, 6, 5\]"),
        (lambda s, t: make()(s[:, :2], t), r"3 student channels, got \[2, 2,"),
        (lambda s, t: make()(s, t[:, :3]), r"teacher of \[4, 6, 9\], got \[2, 3, 6, 9\]"),
    ],
)
def test_errors(wrong: Callable[..., Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        wrong(*maps())
