"""SegFormer's files: NVlabs', CIRKD's and mmsegmentation's names of one architecture."""

from typing import Any

import pytest
import torch
from golden_models import Rules, renamed
from published_keys import assert_recognized, on_meta

from densekd.models.checkpoints.segformer import recognize_cirkd, recognize_mmseg, recognize_nvlabs


def encoder(prefix: str) -> Rules:
    """NVlabs' names: stages count from 1, and the depthwise convolution is in a module of its own."""
    rules: list[tuple[str, str]] = [(r"backbone\.patch_embed(\..*)", rf"{prefix}patch_embed1\1")]
    for k in range(4):
        stage = rf"backbone\.stages\.{k}"
        rules += [
            (rf"{stage}\.downsample(\..*)", rf"{prefix}patch_embed{k + 1}\1"),
            (rf"{stage}\.blocks\.(\d+)\.mlp\.dwconv(\..*)", rf"{prefix}block{k + 1}.\1.mlp.dwconv.dwconv\2"),
            (rf"{stage}\.blocks\.((?!.*dwconv).*)", rf"{prefix}block{k + 1}.\1"),
            (rf"{stage}\.norm(\..*)", rf"{prefix}norm{k + 1}\1"),
        ]
    return rules


def projections(prefix: str) -> Rules:
    return [(rf"head\.projections\.{k}(\..*)", rf"{prefix}linear_c{k + 1}.proj\1") for k in range(4)]


NVLABS: Rules = [
    *encoder("backbone."),
    *projections("decode_head."),
    (r"head\.bottleneck\.0(\..*)", r"decode_head.linear_fuse.conv\1"),
    (r"head\.bottleneck\.1(\..*)", r"decode_head.linear_fuse.bn\1"),
    (r"head\.classifier(\..*)", r"decode_head.linear_pred\1"),
]
CIRKD: Rules = [
    *encoder(""),
    *projections(""),
    (r"head\.bottleneck(\..*)", r"linear_fuse\1"),
    (r"head\.classifier(\..*)", r"linear_pred\1"),
]


@pytest.mark.parametrize(
    ("family", "rules", "read"), [("nvlabs", NVLABS, recognize_nvlabs), ("cirkd", CIRKD, recognize_cirkd)]
)
@pytest.mark.parametrize("backbone", ["mit_b0", "mit_b3"])
def test_linear_heads(family: str, rules: Rules, read: Any, backbone: str) -> None:
    options = {"num_classes": 5, "backbone": backbone, "family": family, "channels": 24}
    state = {}
    for key, value in on_meta("segformer", options).items():
        theirs = renamed(key, rules)
        # Their projections are linear layers.
        state[theirs] = value.flatten(1) if "linear_c" in theirs and value.ndim == 4 else value
    state["decode_head.conv_seg.weight"] = torch.zeros(5, 24, 1, 1)
    found = read(state)
    if family == "nvlabs":
        assert found.unused == ("decode_head.conv_seg.weight",)
    else:
        # Not one of its entries, so it is reported as unexpected.
        del found.state["decode_head.conv_seg.weight"]
    assert_recognized(found, "segformer", options)


def test_mmsegs_joint_projections_are_split() -> None:
    width = 32
    joint = torch.arange(3 * width * width).float().view(3 * width, width)
    mlp = torch.arange(4 * width * width).float().view(4 * width, width, 1, 1)
    state = {
        "backbone.layers.0.0.projection.weight": torch.zeros(width, 3, 7, 7),
        "decode_head.fusion_conv.conv.weight": torch.zeros(24, 96, 1, 1),
        "decode_head.conv_seg.weight": torch.zeros(5, 24, 1, 1),
        "backbone.layers.1.1.1.attn.attn.in_proj_weight": joint,
        "backbone.layers.1.1.1.attn.attn.out_proj.weight": torch.ones(width, width),
        "backbone.layers.1.1.1.ffn.layers.0.weight": mlp,
        "backbone.layers.1.1.1.ffn.layers.1.weight": torch.ones(4 * width, 1, 3, 3),
    }
    for stage in range(4):
        for block in range(2):
            state[f"backbone.layers.{stage}.1.{block}.norm1.weight"] = torch.ones(width)
    found = recognize_mmseg(state)
    assert found is not None
    assert found.options == {"num_classes": 5, "backbone": "mit_b0", "family": "mmseg", "channels": 24}
    block = "backbone.stages.1.blocks.1"
    assert torch.equal(found.state[f"{block}.attn.q.weight"], joint[:width])
    assert torch.equal(found.state[f"{block}.attn.kv.weight"], joint[width:])
    assert found.state[f"{block}.attn.proj.weight"].shape == (width, width)
    assert torch.equal(found.state[f"{block}.mlp.fc1.weight"], mlp[:, :, 0, 0])
    assert found.state[f"{block}.mlp.dwconv.weight"].shape == (4 * width, 1, 3, 3)


def test_no_format_takes_anothers_file() -> None:
    options = {"num_classes": 5, "family": "cirkd", "channels": 24}
    state = {renamed(key, CIRKD): value for key, value in on_meta("segformer", options).items()}
    assert recognize_nvlabs(state) is None
    assert recognize_mmseg(state) is None
