"""UPerNet's files: mmsegmentation's on Swin and ResNet, the Swin authors', CIRKD's."""

from typing import Any

import pytest
import torch
from golden_models import Rules
from published_keys import DEEP_STEM, V1C_STEM, assert_recognized, published, under

from densekd.models.checkpoints.upernet import recognize_cirkd, recognize_mmseg, recognize_swin

MMSEG_HEAD: Rules = [
    (r"head\.pyramid\.levels\.(\d)\.0(\..*)", r"decode_head.psp_modules.\1.1.conv\2"),
    (r"head\.pyramid\.levels\.(\d)\.1(\..*)", r"decode_head.psp_modules.\1.1.bn\2"),
    (r"head\.top\.0(\..*)", r"decode_head.bottleneck.conv\1"),
    (r"head\.top\.1(\..*)", r"decode_head.bottleneck.bn\1"),
    (r"head\.lateral\.(\d)\.0(\..*)", r"decode_head.lateral_convs.\1.conv\2"),
    (r"head\.lateral\.(\d)\.1(\..*)", r"decode_head.lateral_convs.\1.bn\2"),
    (r"head\.smooth\.(\d)\.0(\..*)", r"decode_head.fpn_convs.\1.conv\2"),
    (r"head\.smooth\.(\d)\.1(\..*)", r"decode_head.fpn_convs.\1.bn\2"),
    (r"head\.bottleneck\.0(\..*)", r"decode_head.fpn_bottleneck.conv\1"),
    (r"head\.bottleneck\.1(\..*)", r"decode_head.fpn_bottleneck.bn\1"),
    (r"head\.classifier(\..*)", r"decode_head.conv_seg\1"),
    (r"auxiliary\.conv\.0(\..*)", r"auxiliary_head.convs.0.conv\1"),
    (r"auxiliary\.conv\.1(\..*)", r"auxiliary_head.convs.0.bn\1"),
    (r"auxiliary\.classifier(\..*)", r"auxiliary_head.conv_seg\1"),
]
CIRKD_HEAD: Rules = [
    (r"head\.pyramid\.levels(\..*)", r"head.ppm_conv\1"),
    (r"head\.top(\..*)", r"head.ppm_last_conv\1"),
    (r"head\.lateral(\..*)", r"head.fpn_in\1"),
    (r"head\.smooth\.(\d)(\..*)", r"head.fpn_out.\1.0\2"),
    (r"head\.bottleneck(\..*)", r"head.conv_last.0\1"),
    (r"head\.classifier(\..*)", r"head.conv_last.1\1"),
    (r"auxiliary\.conv(\..*)", r"auxlayer.block\1"),
    (r"auxiliary\.classifier(\..*)", r"auxlayer.block.4\1"),
]
SWIN_ORIGINAL: Rules = [
    (r"backbone\.patch_embed(\..*)", r"backbone.patch_embed.proj\1"),
    (r"backbone\.patch_norm(\..*)", r"backbone.patch_embed.norm\1"),
    (r"backbone\.stages\.(\d)\.(.*)", r"backbone.layers.\1.blocks.\2"),
    (r"backbone\.merges\.(\d)\.(.*)", r"backbone.layers.\1.downsample.\2"),
    (r"backbone\.norms\.(\d)(\..*)", r"backbone.norm\1\2"),
]
SWIN_MMSEG: Rules = [
    (r"backbone\.patch_embed(\..*)", r"backbone.patch_embed.projection\1"),
    (r"backbone\.patch_norm(\..*)", r"backbone.patch_embed.norm\1"),
    (r"backbone\.stages\.(\d)\.(\d+)\.attn\.(.*)", r"backbone.stages.\1.blocks.\2.attn.w_msa.\3"),
    (r"backbone\.stages\.(\d)\.(\d+)\.mlp\.fc1(\..*)", r"backbone.stages.\1.blocks.\2.ffn.layers.0.0\3"),
    (r"backbone\.stages\.(\d)\.(\d+)\.mlp\.fc2(\..*)", r"backbone.stages.\1.blocks.\2.ffn.layers.1\3"),
    (r"backbone\.stages\.(\d)\.(\d+)\.(norm.*)", r"backbone.stages.\1.blocks.\2.\3"),
    (r"backbone\.merges\.(\d)\.(.*)", r"backbone.stages.\1.downsample.\2"),
    (r"backbone\.norms\.(\d)(\..*)", r"backbone.norm\1\2"),
]
INDEX = "backbone.{}.0.blocks.0.attn.{}relative_position_index"


@pytest.mark.parametrize(
    ("body", "read", "index"),
    [
        (SWIN_ORIGINAL, recognize_swin, INDEX.format("layers", "")),
        (SWIN_MMSEG, recognize_mmseg, INDEX.format("stages", "w_msa.")),
    ],
)
@pytest.mark.parametrize("backbone", ["swin_tiny", "swin_base_window12"])
def test_swin(body: Rules, read: Any, index: str, backbone: str) -> None:
    options = {"num_classes": 5, "backbone": backbone, "family": "mmseg", "channels": 16, "auxiliary_channels": 12}
    state = published("upernet", options, [*body, *MMSEG_HEAD])
    state[index] = torch.zeros(49, 49)
    found = read(state)
    assert found.unused == (index,)
    assert_recognized(found, "upernet", options)


def test_the_order_of_merging_is_each_projects_own() -> None:
    """mmsegmentation's rows run channel by channel, (0, 0), (0, 1), (1, 0), (1, 1); the original's by neighbor."""
    options = {"num_classes": 5, "backbone": "swin_tiny", "family": "mmseg", "channels": 16, "auxiliary_channels": 12}
    # Number 10 c + n is neighbor n of channel c.
    channels, neighbors = torch.arange(96.0)[:, None], torch.arange(4.0)
    by_channel = (10 * channels + neighbors).flatten()
    state = published("upernet", options, [*SWIN_MMSEG, *MMSEG_HEAD])
    state["backbone.stages.0.downsample.norm.weight"] = by_channel
    found = recognize_mmseg(state)
    assert found is not None
    ours = found.state["backbone.merges.0.norm.weight"].view(4, 96)
    # The original takes rows 0, 1, 0, 1 and columns 0, 0, 1, 1: of mmsegmentation's neighbors 0, 2, 1, 3.
    for row, neighbor in zip(ours, (0, 2, 1, 3), strict=True):
        assert torch.equal(row, 10 * torch.arange(96.0) + neighbor)
    state = published("upernet", options, [*SWIN_ORIGINAL, *MMSEG_HEAD])
    state["backbone.layers.0.downsample.norm.weight"] = by_channel
    found = recognize_swin(state)
    assert found is not None
    assert torch.equal(found.state["backbone.merges.0.norm.weight"], by_channel)


def test_mmsegs_resnet() -> None:
    options = {
        "num_classes": 5,
        "backbone": "resnet18",
        "family": "mmseg",
        "channels": (8, 16),
        "auxiliary_channels": 0,
    }
    state = published("upernet", options, [*under(V1C_STEM, "backbone."), *MMSEG_HEAD])
    assert_recognized(recognize_mmseg(state), "upernet", options)
    assert recognize_swin(state) is None
    assert recognize_cirkd(state) is None


@pytest.mark.parametrize("channels", [16, (32, 16)])
def test_cirkd(channels: Any) -> None:
    options = {"num_classes": 5, "backbone": "resnet18", "family": "cirkd", "channels": channels}
    options["auxiliary_channels"] = 12
    state = published("upernet", options, [*under(DEEP_STEM, "pretrained."), *CIRKD_HEAD])
    assert_recognized(recognize_cirkd(state), "upernet", options)
    assert recognize_mmseg(state) is None
