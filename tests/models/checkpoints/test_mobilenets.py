"""MobileNets: blocks of CIRKD's and OpenMMLab's by name."""

import pytest
import torch

from densekd.models.backbones import make_backbone
from densekd.models.checkpoints.layout import rename
from densekd.models.checkpoints.mobilenets import v2_cirkd, v2_mmseg, v3, which_v3
from densekd.models.families import FAMILIES


def own_shapes(name: str) -> dict[str, torch.Size]:
    with torch.device("meta"):
        module = make_backbone(name, FAMILIES["mmseg"], 32).module
    return {f"backbone.{key}": value.shape for key, value in module.state_dict().items()}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("features.0.1.bias", "bn1.bias"),
        ("features.1.conv.0.weight", "blocks.0.0.conv_dw.weight"),
        ("features.1.conv.4.weight", "blocks.0.0.bn2.weight"),
        ("features.2.conv.0.weight", "blocks.1.0.conv_pw.weight"),
        ("features.17.conv.7.running_var", "blocks.6.0.bn3.running_var"),
    ],
)
def test_cirkds_mobilenetv2(theirs: str, ours: str) -> None:
    renamed, _ = rename({f"net.{theirs}": torch.zeros(1)}, v2_cirkd(r"net\."))
    assert list(renamed) == [f"backbone.{ours}"]
    assert f"backbone.{ours}" in own_shapes("mobilenetv2_100")


def test_the_last_convolution_belongs_to_the_classifier() -> None:
    renamed, unused = rename({"features.18.0.weight": torch.zeros(1)}, v2_cirkd(""))
    assert (renamed, unused) == ({}, ("features.18.0.weight",))


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("conv1.conv.weight", "conv_stem.weight"),
        ("layer1.0.conv.0.conv.weight", "blocks.0.0.conv_dw.weight"),
        ("layer1.0.conv.1.bn.bias", "blocks.0.0.bn2.bias"),
        ("layer7.0.conv.0.conv.weight", "blocks.6.0.conv_pw.weight"),
        ("layer4.3.conv.2.bn.running_mean", "blocks.3.3.bn3.running_mean"),
    ],
)
def test_openmmlabs_mobilenetv2(theirs: str, ours: str) -> None:
    renamed, _ = rename({f"backbone.{theirs}": torch.zeros(1)}, v2_mmseg(r"backbone\."))
    assert list(renamed) == [f"backbone.{ours}"]
    assert f"backbone.{ours}" in own_shapes("mobilenetv2_100")


@pytest.mark.parametrize(
    ("name", "theirs", "ours"),
    [
        ("mobilenetv3_small_100", "layer0.conv.weight", "conv_stem.weight"),
        ("mobilenetv3_small_100", "layer1.linear_conv.conv.weight", "blocks.0.0.conv_pw.weight"),
        ("mobilenetv3_small_100", "layer1.se.conv1.conv.bias", "blocks.0.0.se.conv_reduce.bias"),
        ("mobilenetv3_small_100", "layer2.expand_conv.bn.weight", "blocks.1.0.bn1.weight"),
        ("mobilenetv3_small_100", "layer11.depthwise_conv.conv.weight", "blocks.4.2.conv_dw.weight"),
        ("mobilenetv3_small_100", "layer12.conv.weight", "blocks.5.0.conv.weight"),
        ("mobilenetv3_large_100", "layer15.linear_conv.bn.bias", "blocks.5.2.bn3.bias"),
        ("mobilenetv3_large_100", "layer16.bn.weight", "blocks.6.0.bn1.weight"),
    ],
)
def test_mobilenetv3(name: str, theirs: str, ours: str) -> None:
    renamed, _ = rename({f"pretrained.{theirs}": torch.zeros(1)}, v3(name, r"pretrained\."))
    assert list(renamed) == [f"backbone.{ours}"]
    assert f"backbone.{ours}" in own_shapes(name)


def test_sizes_are_told_apart_by_their_last_block() -> None:
    assert which_v3(["a.layer12.conv.weight"], "a.") == "mobilenetv3_small_100"
    assert which_v3(["a.layer16.conv.weight"], "a.") == "mobilenetv3_large_100"
    assert which_v3(["b.layer16.conv.weight"], "a.") is None
