"""Channel group distillation: the chain rule against the joint softmax, padding, shuffling, the released numbers."""

from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.distill.terms import TapPair, Term, WeightSchedule
from densekd.losses.cgd import CGD
from densekd.losses.cwd import CWD

K = torch.arange(2 * 6 * 8 * 8, dtype=torch.float64).view(2, 6, 8, 8)
STUDENT, TEACHER = 3 * torch.sin(0.1 * K), 4 * torch.cos(0.07 * K)


def maps(*shape: int, seed: int = 3) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = (3 * torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
    return student, teacher


def joint(student: Tensor, teacher: Tensor, size: int) -> Tensor:
    """The formula as it is written: one softmax over all values of a group, the mean over images and groups."""
    parts = [
        F.kl_div(s.flatten(1).log_softmax(1), t.flatten(1).log_softmax(1), log_target=True, reduction="batchmean")
        for s, t in zip(student.split(size, 1), teacher.split(size, 1), strict=True)
    ]
    return torch.stack(parts).mean()


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 8, 100])
def test_groups_are_joint_distributions_of_consecutive_channels(size: int) -> None:
    student, teacher = maps(2, 7, 4, 5)
    value = CGD(2.0, group_size=size, scale="none")(student, teacher)
    assert value.item() == pytest.approx(joint(student / 2, teacher / 2, size).item(), rel=1e-12)


def test_groups_of_one_channel_are_cwd() -> None:
    student, teacher = maps(2, 5, 4, 3)
    assert CGD(4.0, group_size=1)(student, teacher).item() == pytest.approx(CWD(4.0)(student, teacher).item())


@pytest.mark.parametrize(("transform", "dim"), [("pixel", 1), ("none", 3)])
def test_other_transforms(transform: Any, dim: int) -> None:
    student, teacher = maps(2, 3, 4, 5)
    student_features, teacher_features = ((x / 2).log_softmax(dim) for x in (student, teacher))
    expected = F.kl_div(student_features, teacher_features, log_target=True, reduction="none").sum(dim).mean()
    assert CGD(2.0, transform, scale="none")(student, teacher).item() == pytest.approx(expected.item(), rel=1e-12)
    assert CGD(2.0, transform)(student, teacher).item() == pytest.approx(4 * expected.item(), rel=1e-12)


def test_by_hand() -> None:
    """A group of two channels of one position each: KL((1/2, 1/2) || (1/4, 3/4)) = log(2 / sqrt 3)."""
    student = torch.tensor([1.0, 3.0]).log().view(1, 2, 1, 1)
    value = CGD(1.0, group_size=2)(student, torch.zeros(1, 2, 1, 1))
    assert value.item() == pytest.approx(torch.tensor(2 / 3**0.5).log().item(), rel=1e-6)


@pytest.mark.parametrize(
    ("size", "value", "norm"),
    [
        (1, 2.3099059003, 0.0632097641), (2, 2.7386072880, 0.0694494231), (3, 2.7990397079, 0.0689694548),
        (4, 2.6530908332, 0.0694448691), (6, 2.8032898794, 0.0690422536),
    ],
)  # fmt: skip
def test_released_numbers(size: int, value: float, norm: float) -> None:
    """SegDistill's CGDLoss: weight 3, T 2, logits resized to the labels."""
    term = Term(CGD(2.0, group_size=size, scale="none"), TapPair("a", "b"), nn.Identity(), WeightSchedule(3.0), "label")
    student = STUDENT.clone().requires_grad_()
    ours = term.weight(1) * term({"a": student}, {"b": TEACHER}, torch.zeros(2, 16, 16, dtype=torch.int64))
    (gradient,) = torch.autograd.grad(ours, student)
    assert ours.item() == pytest.approx(value, abs=6e-11)
    assert gradient.norm().item() == pytest.approx(norm, abs=6e-11)


def test_released_preset_without_resizing() -> None:
    assert CGD(1.0, group_size=3)(STUDENT, TEACHER).item() == pytest.approx(2.4145838911, abs=6e-11)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_padding_costs_nothing_in_any_precision(dtype: torch.dtype) -> None:
    """Five channels in groups of four: the last group has one channel, and three places of probability zero."""
    student, teacher = (x.to(dtype) for x in maps(2, 5, 6, 7))
    value = CGD(1.0, group_size=4)(student.requires_grad_(), teacher)
    expected = joint(student.detach().double(), teacher.double(), 4)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)
    (gradient,) = torch.autograd.grad(value, student)
    assert gradient.dtype == dtype
    assert gradient.isfinite().all()


def test_channels_are_permuted_in_every_intervalth_call() -> None:
    student, teacher = maps(2, 6, 4, 5)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    loss = CGD(1.0, group_size=2, shuffle_interval=3)
    with mock.patch("torch.randperm", return_value=order):
        values = [loss(student, teacher).item() for _ in range(7)]
    plain = CGD(1.0, group_size=2)(student, teacher).item()
    permuted = CGD(1.0, group_size=2)(student[:, order], teacher[:, order]).item()
    assert permuted != pytest.approx(plain, rel=1e-3)
    assert values == pytest.approx([plain, plain, permuted, plain, plain, permuted, plain])
    assert loss.calls.item() == 7


def test_calls_are_counted_in_training_alone_and_travel_in_the_state() -> None:
    student, teacher = maps(1, 4, 2, 2)
    loss, other, never = CGD(shuffle_interval=10), CGD(shuffle_interval=10), CGD()
    for training in (True, False, True):
        loss.train(training)(student, teacher)
        never.train(training)(student, teacher)
    assert (loss.calls.item(), never.calls.item()) == (2, 0)
    other.load_state_dict(loss.state_dict())
    assert other.calls.item() == 2
    assert list(loss.state_dict()) == ["calls"]


def test_the_permutation_follows_the_seed() -> None:
    student, teacher = maps(2, 8, 4, 5)
    values = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        values.append(CGD(1.0, group_size=3, shuffle_interval=1)(student, teacher).item())
    assert values[0] == values[1] != values[2]


@pytest.mark.parametrize("transform", ["channel", "pixel", "none"])
def test_other_shapes_are_refused(transform: Any) -> None:
    with pytest.raises(ValueError, match=r"one shape, got \[2, 3, 4, 5\] and \[2, 3, 5, 4\]"):
        CGD(1.0, transform)(torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 5, 4))
