"""Grids by hand: steps of weights and activations, powers of two, integers."""

import pytest
import torch

from densekd.quantize.grid import (
    FakeQuantizer,
    activation_step,
    power_of_two,
    quantized_weight,
    weight_codes,
    weight_scale,
)


def test_powers_of_two_are_exact() -> None:
    scale = torch.tensor([1.0, 0.5, 0.75, 0.500001, 3e-9, 1e30])
    found = power_of_two(scale)
    assert found[:4].tolist() == [1.0, 0.5, 1.0, 1.0]
    assert bool((found >= scale).all())
    assert bool((found < 2 * scale).all())
    assert torch.frexp(found).mantissa.tolist() == [0.5] * 6


def test_weights_have_a_step_for_each_channel() -> None:
    weight = torch.tensor([[1.27, -0.5], [0.0, 0.0], [-2.54, 0.01]])
    scale = weight_scale(weight, 0, "free")
    torch.testing.assert_close(scale[[0, 2]], torch.tensor([0.01, 0.02]))
    assert scale[1] > 0
    codes = weight_codes(weight, scale, 0)
    assert codes.tolist() == [[127, -50], [0, 0], [-127, 0]]
    torch.testing.assert_close(quantized_weight(weight, scale, 0), codes * scale[:, None])
    # Of a power of two, the next one above: 2^-6 and 2^-5.
    assert weight_scale(weight, 0, "power-of-two")[[0, 2]].tolist() == [2**-6, 2**-5]
    # A factor of each channel belongs to the step.
    torch.testing.assert_close(weight_scale(weight, 0, "free", torch.tensor([2.0, 1, 1]))[0], torch.tensor(0.02))


@pytest.mark.parametrize(
    ("activations", "steps", "scale", "zero_point"),
    [
        ("uint8", "free", 3.0 / 255, 85),
        ("int8", "free", 2.0 / 127, 0),
        ("uint8", "power-of-two", 2.0**-6, 64),
        ("int8", "power-of-two", 2.0**-5, 0),
    ],
)
def test_activations_cover_their_range(activations: str, steps: str, scale: float, zero_point: int) -> None:
    low, high = torch.tensor(-1.0), torch.tensor(2.0)
    step = activation_step(low, high, activations, steps)  # type: ignore[arg-type]
    assert step.scale.item() == pytest.approx(scale, rel=1e-6)
    assert step.zero_point.item() == zero_point


def test_zero_is_always_on_the_grid() -> None:
    step = activation_step(torch.tensor(3.0), torch.tensor(6.0), "uint8", "free")
    assert step.zero_point.item() == 0
    assert step.scale.item() == pytest.approx(6 / 255)


def test_a_quantizer_observes_only_when_told_and_lets_pass_without_a_range() -> None:
    quantizer = FakeQuantizer("uint8", "free")
    x = torch.tensor([-1.0, 0.3, 2.0])
    assert torch.equal(quantizer(x), x)
    assert quantizer.seen is None
    quantizer.observing = True
    quantizer(x)
    quantizer(2 * x)
    assert quantizer.seen is not None
    assert quantizer.seen.tolist() == [-2.0, 4.0]
    quantizer.set_range(torch.tensor(-1.0), torch.tensor(2.0))
    y = quantizer(x.bfloat16())
    assert y.dtype == torch.bfloat16
    # A loaded quantizer knows that it has a range.
    other = FakeQuantizer()
    other.load_state_dict(quantizer.state_dict())
    assert other.ready
