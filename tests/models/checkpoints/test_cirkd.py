"""CIRKD's and HWD's files: PSPNet and DeepLabV3 on three kinds of backbone."""

from typing import Any

import pytest
import torch
from golden_models import Rules
from published_keys import DEEP_STEM, SINGLE_STEM, assert_recognized, published, under
from torch import nn

from densekd.models.backbones import make_backbone
from densekd.models.checkpoints.cirkd import recognize
from densekd.models.families import FAMILIES

AUXILIARY: Rules = [
    (r"auxiliary\.conv(\..*)", r"auxlayer.block\1"),
    (r"auxiliary\.classifier(\..*)", r"auxlayer.block.4\1"),
]
PSP: Rules = [
    *((rf"head\.pyramid\.levels\.{k}(\..*)", rf"head.psp.conv{k + 1}\1") for k in range(4)),
    (r"head\.bottleneck(\..*)", r"head.block\1"),
    (r"(head\.classifier\..*)", r"\1"),
]
ASPP: Rules = [
    (r"head\.aspp\.branches\.0(\..*)", r"head.aspp.b0\1"),
    (r"head\.aspp\.branches\.([1-3])(\..*)", r"head.aspp.b\1.block\2"),
    (r"head\.aspp\.pool\.0(\..*)", r"head.aspp.b4.gap.1\1"),
    (r"head\.aspp\.pool\.1(\..*)", r"head.aspp.b4.gap.2\1"),
    (r"head\.project(\..*)", r"head.aspp.project\1"),
    (r"head\.bottleneck(\..*)", r"head.block\1"),
    (r"head\.classifier(\..*)", r"head.block.4\1"),
]


@pytest.mark.parametrize(
    ("model", "family", "channels", "auxiliary"),
    [
        ("pspnet", "cirkd", (64, 32), 24),
        ("pspnet", "cirkd_vanilla", (32, 32), 0),
        ("deeplabv3", "cirkd", 128, 24),
        ("deeplabv3", "cirkd_vanilla", 16, 0),
    ],
)
def test_resnets(model: str, family: str, channels: Any, auxiliary: int) -> None:
    options = {"num_classes": 5, "backbone": "resnet18", "family": family, "channels": channels}
    options["auxiliary_channels"] = auxiliary
    stem = DEEP_STEM if family == "cirkd" else SINGLE_STEM
    rules = [*under(stem, "pretrained."), *(PSP if model == "pspnet" else ASPP), *AUXILIARY]
    found = recognize(published(model, options, rules))
    assert_recognized(found, model, options)
    assert found is not None
    assert found.format == "cirkd"
    assert found.unused == ()


def test_the_second_mobilenetv2_has_openmmlabs_names_and_dilation() -> None:
    options = {"num_classes": 5, "backbone": "mobilenetv2_100", "family": "cirkd_ssseg", "channels": 16}
    options["auxiliary_channels"] = 0
    # Our blocks count their parts; OpenMMLab's are a list of convolutions.
    parts = {
        "conv_pw": "0.conv",
        "bn1": "0.bn",
        "conv_dw": "1.conv",
        "bn2": "1.bn",
        "conv_pwl": "2.conv",
        "bn3": "2.bn",
    }
    first = {"conv_dw": "0.conv", "bn1": "0.bn", "conv_pw": "1.conv", "bn2": "1.bn"}
    body: Rules = [
        (r"backbone\.conv_stem(\..*)", r"pretrained.conv1.conv\1"),
        (r"backbone\.bn1(\..*)", r"pretrained.conv1.bn\1"),
        *((rf"backbone\.blocks\.0\.0\.{ours}(\..*)", rf"pretrained.layer1.0.conv.{theirs}\1")
          for ours, theirs in first.items()),
        *((rf"backbone\.blocks\.{stage}\.(\d)\.{ours}(\..*)", rf"pretrained.layer{stage + 1}.\1.conv.{theirs}\2")
          for ours, theirs in parts.items() for stage in range(1, 7)),
    ]  # fmt: skip
    found = recognize(published("deeplabv3", options, [*body, *ASPP]))
    assert_recognized(found, "deeplabv3", options)
    convs = [m for m in make_backbone("mobilenetv2_100", FAMILIES["cirkd_ssseg"], 8).module.modules()
             if isinstance(m, nn.Conv2d) and m.dilation != (1, 1)]  # fmt: skip
    assert sorted(conv.dilation[0] for conv in convs) == [2, 2, 4, 4]


@pytest.mark.parametrize("missing", ["pretrained.layer1.0.conv2.weight", "head.psp.conv1.0.weight"])
def test_something_else(missing: str) -> None:
    options = {"num_classes": 5, "backbone": "resnet18", "family": "cirkd", "channels": (8, 8)}
    state = published("pspnet", options, [*under(DEEP_STEM, "pretrained."), *PSP, *AUXILIARY])
    del state[missing]
    assert recognize(state) is None
    assert recognize({"weight": torch.zeros(1)}) is None
