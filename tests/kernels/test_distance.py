"""Distances element by element: value and gradient, also where there is none."""

import pytest
import torch

from densekd.kernels.distance import (
    absolute_distance,
    euclidean_distance,
    squared_distance,
    weighted_squared_distance,
)

ALL = pytest.mark.parametrize("distance", [absolute_distance, squared_distance, euclidean_distance])


def test_by_hand() -> None:
    student, teacher = torch.tensor([1.0, 5.0, -2.0], requires_grad=True), torch.tensor([1.0, 2.0, 2.0])
    wanted = (
        (absolute_distance, 7, [0, 1, -1]),
        (squared_distance, 25, [0, 6, -8]),
        (euclidean_distance, 5, [0, 0.6, -0.8]),
    )
    for distance, value, gradient in wanted:
        ours = distance(student, teacher)
        assert ours.item() == pytest.approx(value, rel=1e-6)
        assert torch.autograd.grad(ours, student)[0].tolist() == pytest.approx(gradient, rel=1e-6)


@ALL
def test_where_both_agree_there_is_no_gradient(distance: type) -> None:
    student = torch.randn(2, 3, requires_grad=True)
    value = distance(student, student.detach())
    assert value.item() == 0
    assert torch.autograd.grad(value, student)[0].abs().max() == 0


@ALL
def test_gradcheck_and_the_teacher_gets_nothing(distance: type) -> None:
    student, teacher = (torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda s: distance(s, teacher.detach()), student)
    assert torch.autograd.grad(distance(student, teacher), teacher, allow_unused=True) == (None,)


def test_weights_of_positions_and_channels() -> None:
    student, teacher = (torch.randn(2, 3, 4, 5, dtype=torch.float64, requires_grad=True) for _ in range(2))
    positions, channels = torch.rand(2, 4, 5, dtype=torch.float64), torch.rand(2, 3, dtype=torch.float64)
    target = teacher.detach()
    value = weighted_squared_distance(student, target, positions, channels)
    wanted = (positions[:, None] * channels[..., None, None] * (student - teacher).square()).sum()
    assert value.item() == pytest.approx(wanted.item(), rel=1e-12)
    assert torch.autograd.gradcheck(
        lambda s: weighted_squared_distance(s, teacher.detach(), positions, channels), student
    )
    torch.testing.assert_close(
        weighted_squared_distance(student, teacher.detach(), torch.ones_like(positions), torch.ones_like(channels)),
        squared_distance(student, teacher.detach()),
    )
