"""Weights that are not finite are refused with the first tensor's name, and nothing is loaded."""

import pytest
import torch
from torch import nn

from densekd.errors import UserError
from densekd.models.checkpoints.file import Checkpoint
from densekd.models.checkpoints.load import load_matched


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_first_broken_tensor_is_named(value: float, dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    state = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    state["0.bias"] = state["0.bias"].to(dtype)
    state["0.bias"][2] = value
    state["1.running_var"][0] = value
    before = model[0].weight.clone()
    checkpoint = Checkpoint("some.pth", Checkpoint.of_model(model, "").container, state)
    with pytest.raises(UserError, match=r"some\.pth: .*not finite.*1 of 4 values of 0\.bias and 1 more tensors"):
        load_matched(model, checkpoint, "student")
    assert torch.equal(model[0].weight, before)


def test_large_weights_are_finite() -> None:
    model = nn.Conv2d(1, 2, 1)
    state = {key: torch.full_like(tensor, 3e38) for key, tensor in model.state_dict().items()}
    load_matched(model, Checkpoint("some.pth", Checkpoint.of_model(model, "").container, state), "student")
    assert bool((model.weight == 3e38).all())
