"""Both ways to the distance of Gram matrices against the matrices themselves."""

import pytest
import torch

from densekd.kernels.gram_distance import gram_distance


@pytest.mark.parametrize("positions", [3, 9, 10, 40])
def test_equals_the_formula(positions: int) -> None:
    """4 and 5 channels: up to 9 positions the Gram matrix is made, beyond that products of channels."""
    student = torch.randn(2, 4, positions, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(2, 5, positions, dtype=torch.float64)
    ours = gram_distance(student, teacher)
    wanted = (student.mT @ student - teacher.mT @ teacher).square().sum((1, 2))
    torch.testing.assert_close(ours, wanted, rtol=1e-12, atol=0)
    weight = torch.rand(2, dtype=torch.float64)
    gradients = (torch.autograd.grad((x * weight).sum(), student)[0] for x in (ours, wanted))
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)
