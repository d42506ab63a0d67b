"""Ranges: calibration, moving average, and what leaves no trace."""

import pytest
import torch
from torch import nn

from densekd.errors import UserError
from densekd.quantize import apply_plan, calibrate, is_calibrated, make_plan, observe, quantizers, update_ranges


def small() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Identity(), nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1))
    return apply_plan(layers, make_plan(layers, torch.rand(1, 3, 4, 4)))


def test_calibration_takes_the_mean_of_the_ranges() -> None:
    model = small()
    assert not is_calibrated(model)
    first, second = torch.rand(2, 3, 4, 4), 3 * torch.rand(2, 3, 4, 4) - 1
    state = torch.get_rng_state()
    assert calibrate(model, [first, second]) == 2
    assert torch.equal(torch.get_rng_state(), state)
    assert is_calibrated(model)
    quantizer = quantizers(model)[0]
    torch.testing.assert_close(quantizer.low, (first.min() + second.min()) / 2)
    torch.testing.assert_close(quantizer.high, (first.max() + second.max()) / 2)
    assert model.get_submodule("2").num_batches_tracked == 0
    with pytest.raises(UserError, match="needs some images"):
        calibrate(small(), [])


def test_ranges_move_once_a_step_and_only_while_they_are_observed() -> None:
    model = small()
    calibrate(model, [torch.rand(2, 3, 4, 4)])
    quantizer = quantizers(model)[0]
    low, high = quantizer.low.clone(), quantizer.high.clone()
    model(torch.full((1, 3, 4, 4), 100.0))
    update_ranges(model, 0.1)
    assert (quantizer.low, quantizer.high) == (low, high)
    # Two parts of a batch are one range.
    observe(model, True)
    model(torch.full((1, 3, 4, 4), 5.0))
    model(torch.full((1, 3, 4, 4), -3.0))
    update_ranges(model, 0.1)
    torch.testing.assert_close(quantizer.low, 0.9 * low - 0.3)
    torch.testing.assert_close(quantizer.high, 0.9 * high + 0.5)
    observe(model, False)
    model(torch.full((1, 3, 4, 4), 100.0))
    update_ranges(model, 0.1)
    torch.testing.assert_close(quantizer.high, 0.9 * high + 0.5)


def test_values_that_are_not_finite_are_said() -> None:
    with pytest.raises(UserError, match="not finite"):
        calibrate(small(), [torch.full((2, 3, 4, 4), float("inf"))])
