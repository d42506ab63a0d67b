"""FBKD: its four terms one by one, its non-local blocks against the matrix of all pairs."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from densekd.losses.fbkd import FBKD
from densekd.losses.non_local import NonLocal

WEIGHTS = ("mask_weight", "channel_weight", "spatial_weight", "non_local_weight")


def only(term: int) -> dict[str, float]:
    """Return weights of which one is 1 and the others are 0."""
    return {name: float(k == term) for k, name in enumerate(WEIGHTS)}


def identity(loss: FBKD) -> FBKD:
    """Make every adapter copy its input."""
    for layer in (loss.feature, loss.relation, loss.positions):
        nn.init.dirac_(layer.weight)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    nn.init.eye_(loss.channels.weight)
    nn.init.zeros_(loss.channels.bias)
    return loss


def test_zero_for_equal_tensors_and_copying_adapters() -> None:
    loss, student = identity(FBKD(4, 4)), torch.randn(2, 4, 6, 7, requires_grad=True)
    value = loss(student, student.detach())
    value.backward()
    assert value.item() == 0
    assert student.grad is not None
    assert student.grad.abs().max().item() == 0


@pytest.mark.parametrize("term", range(4))
def test_each_term(term: int) -> None:
    student, teacher = torch.randn(2, 4, 6, 7, dtype=torch.float64), torch.randn(2, 4, 6, 7, dtype=torch.float64)
    loss = identity(FBKD(4, 4, **only(term)))
    attention = [(x.abs().mean((1,)).flatten(1) / 0.5).softmax(1).view(2, 1, 6, 7) * 42 for x in (student, teacher)]
    difference = teacher - student
    wanted = (
        ((attention[0] + attention[1]) / 2 * difference.square()).sum().sqrt(),
        difference.mean((2, 3)).norm(),
        difference.mean(1).norm(),
        difference.norm(),  # the non-local blocks begin as the identity
    )
    assert loss(student, teacher).item() == pytest.approx(wanted[term].item(), rel=1e-9)


def test_no_gradient_through_the_attention() -> None:
    loss = identity(FBKD(1, 1, **only(0)))
    student = torch.randn(1, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(student, torch.zeros_like(student)), student)
    # d sqrt(sum M s^2) / d s = M s / value, of the sign of s everywhere.
    assert torch.equal(gradient.sign(), student.sign())


def test_student_and_teacher_may_differ_in_channels() -> None:
    loss = FBKD(3, 8, reduction=4, stride=2)
    loss(torch.randn(2, 3, 6, 7), torch.randn(2, 8, 6, 7)).backward()
    still = {name for name, p in loss.named_parameters() if p.grad is None or not p.grad.abs().sum()}
    # Behind a norm whose weight is zero nothing moves at first.
    assert all("non_local" in name and "norm.weight" not in name for name in still)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_non_local_agrees_with_all_pairs(stride: int) -> None:
    block, x = NonLocal(8, 2, stride).double(), torch.randn(2, 8, 6, 7, dtype=torch.float64)
    nn.init.normal_(block.norm.weight)
    theta, phi, g = (block.theta(x), *(F.max_pool2d(layer(x), stride) for layer in (block.phi, block.g)))
    pairs = theta.flatten(2).mT @ phi.flatten(2) / phi.flatten(2).shape[2]
    wanted = x + block.norm(block.out((pairs @ g.flatten(2).mT).mT.reshape(2, 4, 6, 7)))
    torch.testing.assert_close(block(x), wanted, rtol=1e-10, atol=1e-12)
    assert not torch.allclose(block(x), x)


@pytest.mark.parametrize("shape", [(1, 8, 1, 1), (2, 8, 1, 1), (1, 8, 1, 5)])
def test_small_maps(shape: tuple[int, ...]) -> None:
    assert NonLocal(8, 2, 8)(torch.randn(shape)).isfinite().all()


def test_state_round_trip() -> None:
    student, teacher = torch.randn(2, 4, 6, 7), torch.randn(2, 4, 6, 7)
    loss, other = FBKD(4, 4), FBKD(4, 4)
    assert other(student, teacher).item() != loss(student, teacher).item()
    other.load_state_dict(loss.state_dict(), strict=True)
    assert other(student, teacher).item() == loss(student, teacher).item()
