"""NaN and infinity are named: which weight, which statistic, which module, whose output."""

import math
from typing import Any

import pytest
import torch
from torch import nn

from densekd.ops.finite import NotFiniteError, first_not_finite, module_not_finite, output_of, require_finite_output


def model() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("0.weight", math.nan, "weight '0.weight' is not finite"),
        ("0.bias", -math.inf, "weight '0.bias' is not finite"),
        ("1.running_mean", math.inf, "batch norm statistic '1.running_mean' is not finite"),
        ("1.running_var", -1e-3, "batch norm statistic '1.running_var' is negative or not finite"),
        ("1.running_var", math.nan, "batch norm statistic '1.running_var' is negative or not finite"),
    ],
)
def test_the_first_one_is_named(name: str, value: float, message: str) -> None:
    module = model()
    assert first_not_finite(module) is None
    module.state_dict()[name].view(-1)[1] = value
    assert first_not_finite(module) == message


def test_a_mask_may_hold_infinity() -> None:
    module = model()
    module.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    assert first_not_finite(module) is None
    assert first_not_finite(nn.Identity()) is None


@pytest.mark.parametrize(("value", "sound"), [(1.0, True), (-math.inf, True), (math.inf, False), (math.nan, False)])
def test_outputs(value: float, sound: bool) -> None:
    output = torch.zeros(2, 5)
    output[1, 3] = value
    if sound:
        require_finite_output(output, "the logits are")
        return
    with pytest.raises(NotFiniteError, match=r"the logits are not finite \(NaN or infinity\): 1 of 10 values"):
        require_finite_output(output, "the logits are")


def test_it_is_said_whose_output_and_why() -> None:
    module = model().eval()
    module[1].running_var.fill_(-1)
    message = r"The student: maps are not finite.*Its batch norm statistic '1\.running_var'"
    with pytest.raises(NotFiniteError, match=message), output_of("The student", module):
        require_finite_output(module(torch.rand(1, 3, 2, 2)), "maps are")


def test_the_first_module_is_named() -> None:
    class Broken(nn.Module):
        def forward(self, x: Any) -> Any:
            return {"out": x if self.training else x * math.nan}

    module = nn.Sequential(nn.Identity(), Broken())
    run = lambda: module(torch.rand(3))  # noqa: E731
    assert module_not_finite(module, run) is None
    module.eval()
    assert module_not_finite(module, run) == "'1' (Broken)"
    assert not module[1]._forward_hooks
