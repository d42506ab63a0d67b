"""Distances element by element: value and gradient, also where there is none."""

import pytest
import torch

from densekd.kernels.distance import absolute_distance, squared_distance

BOTH = pytest.mark.parametrize("distance", [absolute_distance, squared_distance])


def test_by_hand() -> None:
    student, teacher = torch.tensor([1.0, 5.0, -2.0], requires_grad=True), torch.tensor([1.0, 2.0, 2.0])
    for distance, value, gradient in ((absolute_distance, 7, [0, 1, -1]), (squared_distance, 25, [0, 6, -8])):
        ours = distance(student, teacher)
        assert ours.item() == pytest.approx(value, rel=1e-6)
        assert torch.autograd.grad(ours, student)[0].tolist() == gradient


@BOTH
def test_gradcheck_and_the_teacher_gets_nothing(distance: type) -> None:
    student, teacher = (torch.randn(2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda s: distance(s, teacher.detach()), student)
    assert torch.autograd.grad(distance(student, teacher), teacher, allow_unused=True) == (None,)
