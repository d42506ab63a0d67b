"""CIRKD's and HWD's files: PSPNet and DeepLabV3 on three kinds of backbone."""

from typing import Any

import pytest
import torch
from golden_models import Rules
from published_keys import DEEP_STEM, SINGLE_STEM, assert_recognized, published, under

from densekd.models.checkpoints.cirkd import recognize

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


@pytest.mark.parametrize("missing", ["pretrained.layer1.0.conv2.weight", "head.psp.conv1.0.weight"])
def test_something_else(missing: str) -> None:
    options = {"num_classes": 5, "backbone": "resnet18", "family": "cirkd", "channels": (8, 8)}
    state = published("pspnet", options, [*under(DEEP_STEM, "pretrained."), *PSP, *AUXILIARY])
    del state[missing]
    assert recognize(state) is None
    assert recognize({"weight": torch.zeros(1)}) is None
