"""Plans: what of a network is int8, which grids are shared, what stays float."""

import pytest
import torch
import torch.nn.functional as F
from timm.models.resnet import BasicBlock
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.quantize import apply_plan, describe_plan, make_plan, parse_plan

IMAGES = torch.full((1, 3, 16, 16), 0.5)


class Net(nn.Module):
    """A stem with pooling, a residual block, a concatenation with a resized map, a classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(2)
        self.block = BasicBlock(8, 8)
        self.wide = nn.Conv2d(16, 8, 1)
        self.token = nn.Linear(8, 8)
        self.classifier = nn.Conv2d(8, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        fine = self.stem(x)
        coarse = self.block(self.pool(fine))
        joined = torch.cat([fine, F.interpolate(coarse, size=fine.shape[2:])], 1)
        tokens = self.token(self.wide(joined).permute(0, 2, 3, 1))
        logits: Tensor = self.classifier(tokens.permute(0, 3, 1, 2))
        return logits


def test_a_plan_by_hand() -> None:
    plan = make_plan(Net(), IMAGES)
    assert plan.layers == ("stem.0", "block.conv1", "block.conv2", "wide", "token")
    assert plan.norms == {"stem.0": "stem.1", "block.conv1": "block.bn1", "block.conv2": "block.bn2"}
    # Behind the activation of a convolution; before a residual sum; the block's own activation, for both readers.
    assert set(plan.outputs) == {"stem.2", "block.act1", "block.bn2", "wide"}
    # Nobody but the layer knows the image, the concatenated map, or the permuted one.
    assert set(plan.inputs) == {"stem.0", "wide", "token"}
    assert plan.reads["block.conv2"] == ["block.act1"]
    # Pooled values are on the grid that they were chosen from.
    assert plan.same == {"pool": "stem.2"}
    assert plan.reads["block.conv1"] == ["pool"]
    assert describe_plan(plan, Net()) == "quantization: 5 of 6 layers in int8; float: classifier"


def test_what_stays_float_is_named() -> None:
    plan = make_plan(Net(), IMAGES, ("block", "tok*"))
    assert plan.layers == ("stem.0", "wide", "classifier")
    with pytest.raises(UserError, match="keep_float: the model has no module 'neck'"):
        make_plan(Net(), IMAGES, ("last", "neck"))
    with pytest.raises(UserError, match="nothing to quantize"):
        make_plan(nn.Conv2d(3, 2, 1), IMAGES)
    model = Net()
    apply_plan(model, make_plan(model, IMAGES))
    with pytest.raises(UserError, match="quantized already"):
        make_plan(model, IMAGES)


def test_a_plan_in_a_file() -> None:
    plan = make_plan(Net(), IMAGES, activations="int8", steps="free")
    assert parse_plan(plan.entries(), "config.json") == plan


@pytest.mark.parametrize(
    "change",
    [
        {"layers": "stem.0"},
        {"layers": [1]},
        {"norms": ["stem.0"]},
        {"reads": {"wide": "stem"}},
        {"activations": "int4"},
        {"steps": "log"},
        {"code": "import os"},
    ],
)
def test_a_malformed_plan_is_refused(change: dict[str, object]) -> None:
    content = make_plan(Net(), IMAGES).entries() | change
    with pytest.raises(UserError, match=r"config\.json: its 'quantization' is malformed"):
        parse_plan(content, "config.json")


@pytest.mark.parametrize(
    "change",
    [
        {"layers": ["stem.0", "stem.9"]},
        {"layers": ["stem.2"]},
        {"same": {"pool": "wide.nowhere"}},
        {"same": {"pool": "stem.1"}},
    ],
)
def test_a_plan_of_another_model_is_refused(change: dict[str, object]) -> None:
    plan = parse_plan(make_plan(Net(), IMAGES).entries() | change, "config.json")
    with pytest.raises(UserError, match="The quantization is of another model"):
        apply_plan(Net(), plan)
