"""Pair-wise similarities: both ways to the same number, precision, memory, and what they do not see."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from densekd.losses.pairwise import Pairwise


def literal(student: Tensor, teacher: Tensor, granularity: int) -> Tensor:
    """The formula as it stands, with every matrix in full."""
    grams = []
    for x in (student, teacher):
        places = F.normalize(F.max_pool2d(x, granularity, ceil_mode=True).flatten(2), dim=1)
        grams.append(torch.einsum("bci,bcj->bij", places, places))
    return (grams[0] - grams[1]).square().mean()


def maps(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def value_and_gradient(value: Tensor, student: Tensor) -> tuple[Tensor, Tensor]:
    (gradient,) = torch.autograd.grad(value, student)
    return value.detach(), gradient


# More places than channels, fewer, and one channel; a border that the windows do not fill.
@pytest.mark.parametrize("channels", [(3, 5), (40, 30), (1, 1), (1, 200)], ids=str)
@pytest.mark.parametrize("granularity", [1, 2, 4, 20])
def test_equals_the_formula(channels: tuple[int, int], granularity: int) -> None:
    student, teacher = maps(2, channels[0], 9, 13).requires_grad_(), maps(2, channels[1], 9, 13, seed=1)
    ours = value_and_gradient(Pairwise(granularity)(student, teacher), student)
    wanted = value_and_gradient(literal(student, teacher, granularity), student)
    torch.testing.assert_close(ours, wanted, rtol=1e-10, atol=1e-12)


def test_by_hand() -> None:
    """Two places: at right angles in the student, at 45 degrees in the teacher; both off-diagonal entries differ."""
    student, teacher = torch.zeros(1, 2, 1, 2), torch.ones(1, 2, 1, 2)
    student[0, 0, 0, 0] = student[0, 1, 0, 1] = 3
    teacher[0, 1, 0, 0] = 0
    assert Pairwise(1)(student, teacher).item() == pytest.approx(2 * 0.5 / 4)


def test_single_precision_keeps_value_and_gradient() -> None:
    """All features positive: the three sums of the short way are a hundred times their difference."""
    student, teacher = maps(2, 16, 24, 24).abs().requires_grad_(), maps(2, 24, 24, 24, seed=1).abs()
    wanted = value_and_gradient(Pairwise()(student, teacher), student)
    single = student.detach().float().requires_grad_()
    value, gradient = value_and_gradient(Pairwise()(single, teacher.float()), single)
    assert value.item() == pytest.approx(wanted[0].item(), rel=1e-5)
    assert (gradient - wanted[1]).norm().item() <= 1e-4 * wanted[1].norm().item()


def test_turning_the_channels_changes_nothing() -> None:
    student, teacher = maps(2, 6, 5, 7), maps(2, 4, 5, 7, seed=1)
    rotation = torch.linalg.qr(maps(6, 6, seed=2))[0]
    value = Pairwise(1)(student, teacher).item()
    turned = torch.einsum("dc,bchw->bdhw", rotation, student)
    assert Pairwise(1)(turned, 5 * teacher).item() == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("channels", [4, 200])
def test_equal_tensors_cost_nothing_in_either_way(channels: int) -> None:
    student = maps(2, channels, 12, 10).float().requires_grad_()
    value, gradient = value_and_gradient(Pairwise()(student, student.detach().clone()), student)
    assert abs(value.item()) <= 1e-8
    assert gradient.abs().max().item() <= 1e-8


class Largest(TorchDispatchMode):
    """Remember the largest tensor that any operation returns."""

    elements = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        output = func(*args, **(kwargs or {}))
        for value in output if isinstance(output, (tuple, list)) else (output,):
            if isinstance(value, Tensor):
                self.elements = max(self.elements, value.numel())
        return output


@pytest.mark.parametrize("channels", [3, 40, 300])
def test_nothing_larger_than_the_inputs_is_held(channels: int) -> None:
    student, teacher = maps(1, channels, 24, 32).requires_grad_(), maps(1, channels, 24, 32, seed=1)
    with Largest() as largest:
        Pairwise()(student, teacher).backward()
    assert 0 < largest.elements <= student.numel()


def test_other_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one shape but for the channels, got \[2, 6, 5, 4\] and \[2, 6, 4, 5\]"):
        Pairwise()(torch.ones(2, 6, 5, 4), torch.ones(2, 6, 4, 5))
