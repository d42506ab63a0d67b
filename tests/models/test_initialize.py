"""Spread of the initial weights of each family, against its source's formula, over five seeds."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from densekd.models import find_model

C = 20


def drawn(model: str, options: Mapping[str, Any]) -> dict[str, Tensor]:
    """Parameters of five models of different seeds, joined along a new first axis."""
    states = []
    for seed in range(5):
        torch.manual_seed(seed)
        states.append(dict(find_model(model)(num_classes=C, **options).named_parameters()))
    return {name: torch.stack([state[name].detach() for state in states]) for name in states[0]}


def assert_spread(weights: Tensor, std: float) -> None:
    """Mean 0 and this standard deviation, within five of their own standard errors."""
    count = weights.numel()
    assert weights.std().item() == pytest.approx(std, rel=5 / math.sqrt(2 * count))
    assert abs(weights.mean().item()) < 5 * std / math.sqrt(count)


def fan_out(weights: Tensor) -> float:
    """Standard deviation of Kaiming's distribution over the outputs of a convolution ``[seeds, C_out, ., k, k]``."""
    return math.sqrt(2 / (weights.shape[1] * weights[0, 0, 0].numel()))


def default(weights: Tensor) -> float:
    """Standard deviation of torch's convolutions and linear layers: uniform within 1 / sqrt(inputs)."""
    return 1 / math.sqrt(3 * weights[0, 0].numel())


OPENMMLAB: list[tuple[str, dict[str, Any]]] = [
    ("pspnet", {}),
    ("deeplabv3", {}),
    ("deeplabv3plus", {}),
    ("fcn", {}),
    ("upernet", {"channels": 64}),
]


@pytest.mark.parametrize(("model", "options"), OPENMMLAB)
@pytest.mark.parametrize("family", ["mmseg", "mmseg_b"])
def test_heads_of_openmmlab(model: str, options: dict[str, Any], family: str) -> None:
    """ConvModules by Kaiming's normal distribution over the outputs, ``conv_seg`` with 0.01 and bias 0."""
    parameters = drawn(model, {"backbone": "resnet18_050", "family": family, **options})
    convolutions = 0
    for name, weights in parameters.items():
        if name.startswith("backbone"):
            continue
        if name.endswith("classifier.weight"):
            assert_spread(weights, 0.01)
        elif name.endswith("classifier.bias"):
            assert not weights.any()
        elif weights.dim() == 5:
            assert_spread(weights, fan_out(weights))
            convolutions += 1
    assert convolutions > 3
    assert {"auxiliary.classifier.weight", "head.classifier.weight"} <= set(parameters)


def test_the_pyramid_of_the_pspnet_on_resnet50() -> None:
    """Five times as wide as torch's own: 1 x 1 convolutions from 2048 to 512 channels."""
    parameters = drawn("pspnet", {"backbone": "resnet50", "family": "mmseg", "auxiliary_channels": 0})
    pyramid = parameters["head.pyramid.levels.2.0.weight"]
    assert_spread(pyramid, math.sqrt(2 / 512))
    assert pyramid.std().item() / default(pyramid) == pytest.approx(math.sqrt(6 * 2048 / 512), rel=0.01)


@pytest.mark.parametrize("model", ["pspnet", "deeplabv3", "upernet"])
@pytest.mark.parametrize("family", ["cirkd", "torchdistiller"])
def test_heads_of_cirkd_and_torchdistiller_begin_as_torchs_layers(model: str, family: str) -> None:
    parameters = drawn(model, {"backbone": "resnet18_050", "family": family, "channels": 32})
    checked = 0
    for name, weights in parameters.items():
        if not name.startswith("backbone") and weights.dim() == 5:
            assert_spread(weights, default(weights))
            checked += 1
    assert checked > 3
    assert parameters["head.classifier.bias"].any()


@pytest.mark.parametrize(
    ("family", "spread", "last_norm"),
    [("mmseg", fan_out, 0.0), ("cirkd", fan_out, 1.0), ("torchdistiller", default, 1.0)],
)
@pytest.mark.parametrize(("backbone", "norm"), [("resnet18_050", "bn2"), ("resnet50", "bn3")])
def test_resnets(family: str, spread: Any, last_norm: float, backbone: str, norm: str) -> None:
    parameters = drawn("pspnet", {"backbone": backbone, "family": family, "channels": 8})
    assert_spread(parameters["backbone.layer3.0.conv1.weight"], spread(parameters["backbone.layer3.0.conv1.weight"]))
    assert_spread(parameters["backbone.conv1.3.weight"], spread(parameters["backbone.conv1.3.weight"]))
    assert parameters[f"backbone.layer3.0.{norm}.weight"].unique().tolist() == [last_norm]
    assert parameters["backbone.layer3.0.bn1.weight"].unique().tolist() == [1.0]


def test_swin() -> None:
    """Linear layers and bias tables: truncated normal, 0.02; biases 0; the patch embedding is torch's."""
    parameters = drawn("upernet", {"backbone": "swin_tiny", "channels": 16})
    for name in (
        "stages.1.0.attn.qkv",
        "stages.1.0.attn.proj",
        "stages.2.3.mlp.fc1",
        "stages.2.3.mlp.fc2",
        "merges.0.reduction",
    ):
        assert_spread(parameters[f"backbone.{name}.weight"], 0.02)
    assert_spread(parameters["backbone.stages.1.0.attn.relative_position_bias_table"], 0.02)
    for name in ("stages.1.0.attn.qkv", "stages.2.3.mlp.fc1"):
        assert not parameters[f"backbone.{name}.bias"].any()
    assert_spread(parameters["backbone.patch_embed.weight"], default(parameters["backbone.patch_embed.weight"]))


# A standard deviation for each layer of SegFormer-B0: inputs of the head 32, 64, 160, 256; 256 wide.
SEGFORMERS = {
    "nvlabs": {
        "head.projections.2.weight": 1 / math.sqrt(3 * 160),
        "head.bottleneck.0.weight": math.sqrt(2 / 256),
        "head.classifier.weight": 1 / math.sqrt(3 * 256),
        "backbone.stages.1.blocks.0.attn.q.weight": 0.02,
        "backbone.stages.1.blocks.0.mlp.fc1.weight": 0.02,
        "backbone.stages.1.blocks.0.mlp.dwconv.weight": math.sqrt(2 / 9),
        "backbone.patch_embed.proj.weight": math.sqrt(2 / (49 * 32)),
    },
    "cirkd": {
        "head.projections.2.weight": 0.02,
        "head.bottleneck.0.weight": math.sqrt(2 / 256),
        "head.classifier.weight": math.sqrt(2 / C),
        "backbone.stages.1.blocks.0.attn.kv.weight": 0.02,
        "backbone.stages.1.blocks.0.attn.sr.weight": math.sqrt(2 / (16 * 64)),
    },
    "mmseg": {
        "head.projections.2.0.weight": math.sqrt(2 / 256),
        "head.bottleneck.0.weight": math.sqrt(2 / 256),
        "head.classifier.weight": 0.01,
        # Xavier over 64 inputs and 3 * 64 outputs; 1 x 1 convolutions; a linear layer.
        "backbone.stages.1.blocks.0.attn.kv.weight": math.sqrt(2 / (4 * 64)),
        "backbone.stages.1.blocks.0.mlp.fc1.weight": math.sqrt(2 / 256),
        "backbone.stages.1.blocks.0.mlp.fc2.weight": math.sqrt(2 / 64),
        "backbone.stages.1.blocks.0.attn.proj.weight": 0.02,
    },
}


@pytest.mark.parametrize("family", list(SEGFORMERS))
def test_segformers(family: str) -> None:
    parameters = drawn("segformer", {"backbone": "mit_b0", "family": family})
    for name, std in SEGFORMERS[family].items():
        assert_spread(parameters[name], std)
    has_bias = {name for name, values in parameters.items() if name.endswith("bias") and values.any()}
    if family == "nvlabs":
        assert has_bias == {"head.classifier.bias", *(f"head.projections.{k}.bias" for k in range(4))}
    else:
        assert not has_bias


def test_the_light_pyramid_is_no_familys() -> None:
    parameters = drawn("fpn", {"backbone": "resnet18_050"})
    weights = parameters["head.bottleneck.0.weight"]
    assert_spread(weights, default(weights))
