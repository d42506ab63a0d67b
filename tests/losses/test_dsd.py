"""Double similarity: levels as tuples, by hand, degenerate levels."""

import pytest
import torch
from torch import Tensor

from densekd.losses.dsd import CSD, DSD, PSD


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def levels(*channels: int, seed: int = 0) -> tuple[Tensor, ...]:
    return tuple(maps(2, C, 5, 6, seed=seed + k).requires_grad_() for k, C in enumerate(channels))


def test_psd_by_hand() -> None:
    """Attention (1, 0) then (0, 1) in the student: residual (-1, 1) / sqrt 2; the other way round in the teacher."""
    left, right = torch.tensor([[[[2.0, 0.0]]]]), torch.tensor([[[[0.0, 3.0]]]])
    assert PSD()((left, right), (right, left)).item() == pytest.approx(2 * (2 / 2**0.5) ** 2 / 2)


def test_psd_averages_over_the_pairs() -> None:
    student, teacher = levels(3, 4, 5), levels(6, 7, 8, seed=10)
    pairs = [PSD()((student[n], student[m]), (teacher[n], teacher[m])) for n, m in ((0, 1), (0, 2), (1, 2))]
    assert PSD()(student, teacher).item() == pytest.approx(torch.stack(pairs).mean().item(), rel=1e-12)


def test_psd_gives_every_level_a_gradient() -> None:
    student, teacher = levels(3, 4, 5), levels(6, 7, 8, seed=10)
    gradients = torch.autograd.grad(PSD()(student, teacher), student)
    assert all(gradient.abs().max().item() > 1e-6 for gradient in gradients)


@pytest.mark.parametrize("other", ["the same tensor", "equal", "constant", "nearly equal", "zero"])
def test_psd_of_levels_that_agree_is_calm(other: str) -> None:
    """A direction between equal maps would be noise, and its gradient a million million times too steep."""
    single = [level.detach().float() for level in levels(3, 3)]
    if other == "constant":
        single = [torch.full_like(single[0], 2.0), torch.full_like(single[0], -7.0)]
    first = single[0].requires_grad_()
    second = {
        "the same tensor": first,
        "equal": first.detach().clone().requires_grad_(),
        "constant": single[1].requires_grad_(),
        "nearly equal": (first.detach() * (1 + 1e-7)).requires_grad_(),
        "zero": torch.zeros_like(first).requires_grad_(),
    }[other]
    teacher = tuple(level.detach().float() for level in levels(6, 7, seed=10))
    value = PSD()((first, second), teacher)
    gradients = torch.autograd.grad(value, (first, second))
    assert value.isfinite()
    assert all(gradient.abs().max().item() < 1 for gradient in gradients)


def test_csd_by_hand() -> None:
    """A map of one window: P is 1 for every class, whatever the values, and G is all ones on both sides."""
    assert CSD()(maps(2, 3, 2, 2), maps(2, 3, 2, 2, seed=1)).item() == 0
    student, teacher = torch.zeros(1, 2, 1, 4), torch.zeros(1, 2, 1, 4)
    student[0, 1, 0, :2] = 400.0  # P: (0.5, 0.5), (1, 0); G: 0.5, 0.5, 0.5, 1 against 0.5 everywhere
    assert CSD(4.0)(student, teacher).item() == pytest.approx(0.5**2 / 4, rel=1e-6)


def test_csd_averages_border_windows_over_what_is_there() -> None:
    student = maps(1, 3, 3, 3)
    corner = student.clone()
    corner[..., 2, 2] += 1.0
    places = student.unfold(2, 2, 2).unfold(3, 2, 2).mean((4, 5))[..., 0, 0]
    pooled = torch.stack([places, student[..., :2, 2].mean(2), student[..., 2, :2].mean(2), student[..., 2, 2]], 2)
    P = (pooled / 4).softmax(2)
    teacher = maps(1, 3, 3, 3, seed=1)
    Q = (torch.nn.functional.avg_pool2d(teacher, 2, ceil_mode=True).flatten(2) / 4).softmax(2)
    expected = (P @ P.mT - Q @ Q.mT).square().mean().item()
    assert CSD()(student, teacher).item() == pytest.approx(expected, rel=1e-12)
    assert CSD()(corner, teacher).item() != pytest.approx(expected, rel=1e-6)


def test_dsd_is_the_sum_of_its_parts() -> None:
    student, teacher = levels(3, 4, 5), levels(6, 7, 5, seed=10)
    both = PSD()(student, teacher) + 0.5 * CSD()(student[-1], teacher[-1])
    assert DSD(0.5)(student, teacher).item() == pytest.approx(both.item(), rel=1e-12)
    assert DSD()(student, tuple(level.detach().clone() for level in student)).item() == 0


@pytest.mark.parametrize(
    ("student", "teacher"),
    [(levels(3), levels(3)), (levels(3, 4), levels(3, 4, 5)), (levels(3)[0], levels(3)[0]), ((), ())],
    ids=["one level", "different numbers", "a tensor", "nothing"],
)
def test_psd_wants_two_levels_of_each(student: tuple[Tensor, ...], teacher: tuple[Tensor, ...]) -> None:
    with pytest.raises(ValueError, match="as many taps each, at least two"):
        PSD()(student, teacher)


@pytest.mark.parametrize("side", ["student", "teacher"])
def test_psd_wants_one_size(side: str) -> None:
    good, bad = (torch.ones(2, 3, 4, 6), torch.ones(2, 5, 4, 6)), (torch.ones(2, 3, 4, 6), torch.ones(2, 5, 2, 3))
    pair = (bad, good) if side == "student" else (good, bad)
    with pytest.raises(ValueError, match="one shape but for the channels") as caught:
        PSD()(*pair)
    said = ["[2, 3, 4, 6], [2, 5, 2, 3]" if levels is bad else "[2, 3, 4, 6], [2, 5, 4, 6]" for levels in pair]
    assert str(caught.value).endswith(f"got {said[0]} and {said[1]}")


def test_csd_compares_the_same_classes() -> None:
    with pytest.raises(ValueError, match=r"one shape, got \[2, 3, 4, 4\] and \[2, 5, 4, 4\]"):
        CSD()(torch.ones(2, 3, 4, 4), torch.ones(2, 5, 4, 4))
