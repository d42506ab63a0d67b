"""MGD: what the mask hides, the alignment, the generator that learns."""

from typing import Any

import pytest
import torch
from torch import nn

from densekd.losses.mgd import MGD


@pytest.mark.parametrize(("mask", "size"), [("position", (2, 1, 16, 16)), ("channel", (2, 64, 1, 1))])
def test_the_masked_share_is_hidden(mask: Any, size: tuple[int, ...]) -> None:
    loss = MGD(64, 64, 0.75, mask)
    seen: list[torch.Tensor] = []
    loss.generation.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    loss(torch.ones(2, 64, 16, 16), torch.zeros(2, 64, 16, 16))
    kept = seen[0][:, :1] if mask == "position" else seen[0][:, :, :1, :1]
    assert kept.shape == size
    assert torch.equal(seen[0], kept.expand_as(seen[0]))
    assert set(seen[0].unique().tolist()) <= {0.0, 1.0}
    assert kept.mean().item() == pytest.approx(0.25, abs=0.1)


@pytest.mark.parametrize(("masked", "left"), [(0.0, 1.0), (1.0, 0.0)])
def test_all_or_nothing(masked: float, left: float) -> None:
    loss = MGD(3, 3, masked)
    seen: list[torch.Tensor] = []
    loss.generation.register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    loss(torch.ones(2, 3, 8, 8), torch.zeros(2, 3, 8, 8))
    assert seen[0].mean().item() == pytest.approx(left, abs=0.02)


def test_a_new_mask_at_every_call() -> None:
    loss, student, teacher = MGD(3, 3), torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    assert loss(student, teacher).item() != loss(student, teacher).item()


def test_the_same_seed_is_the_same_mask() -> None:
    loss, student, teacher = MGD(3, 3), torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    values = []
    for _ in range(2):
        torch.manual_seed(3)
        values.append(loss(student, teacher).item())
    assert values[0] == values[1]


def test_a_generator_that_copies_leaves_the_difference() -> None:
    loss = MGD(2, 2, masked=0.0)
    for layer in (loss.generation[0], loss.generation[2]):
        assert isinstance(layer, nn.Conv2d)
        nn.init.dirac_(layer.weight)
        assert layer.bias is not None
        nn.init.zeros_(layer.bias)
    student, teacher = torch.rand(2, 2, 4, 4), torch.rand(2, 2, 4, 4)
    assert loss(student, teacher).item() == pytest.approx((student - teacher).square().sum().item() / 2, rel=1e-6)


def test_channels_are_aligned_only_where_they_differ() -> None:
    assert not list(MGD(4, 4).align.parameters())
    loss = MGD(4, 6)
    loss(torch.randn(2, 4, 5, 5), torch.randn(2, 6, 5, 5)).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in loss.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_inputs_of_another_precision(dtype: torch.dtype) -> None:
    loss = MGD(4, 6, masked=0.0)
    student, teacher = torch.randn(2, 4, 5, 5).to(dtype).requires_grad_(), torch.randn(2, 6, 5, 5).to(dtype)
    value = loss(student, teacher)
    value.backward()
    assert student.grad is not None
    assert student.grad.dtype == dtype
    assert {parameter.grad.dtype for parameter in loss.parameters() if parameter.grad is not None} == {torch.float32}
    assert value.item() == pytest.approx(loss(student.float(), teacher.float()).item(), rel=1e-6)


@pytest.mark.parametrize("wrong", [(2, 4, 5, 5), (2, 6, 5, 4), (1, 6, 5, 5)])
def test_other_shapes_are_refused(wrong: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="one shape") as caught:
        MGD(4, 6)(torch.randn(2, 4, 5, 5), torch.randn(wrong))
    assert str(list(wrong)) in str(caught.value)
