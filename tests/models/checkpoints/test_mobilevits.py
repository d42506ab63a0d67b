"""MobileViTs under CIRKD's and OpenMMLab's names, and what CIRKD computes with their weights."""

import re
from pathlib import Path

import pytest
import torch
from golden_models import Rules
from published_keys import assert_recognized, on_meta, published
from published_layouts import fabricate, layout_of
from torch import nn

from densekd.models import MODELS
from densekd.models.backbones import make_backbone
from densekd.models.checkpoints.cirkd import recognize
from densekd.models.checkpoints.mobilevits import which_mobilevit
from densekd.models.families import FAMILIES
from densekd.models.pretrained import load_pretrained

BLOCK = r"backbone\.stages_(\d)\.(\d)"
THEIRS = r"pretrained.layers.\1.\2"
# Transformers before the norm, which is the last of their sequence.
DEPTHS = {2: 2, 3: 4, 4: 3}
CIRKD: Rules = [
    (r"backbone\.(stem\..*)", r"pretrained.\1"),
    (r"backbone\.final_conv(\..*)", r"pretrained.conv_1x1_exp\1"),
    (BLOCK + r"\.conv1_1x1(\..*)", THEIRS + r".conv.0\3"),
    (BLOCK + r"\.conv2_kxk(\..*)", THEIRS + r".conv.1\3"),
    (BLOCK + r"\.conv3_1x1(\..*)", THEIRS + r".conv.2\3"),
    (BLOCK + r"\.conv_kxk(\..*)", THEIRS + r".local_rep.0\3"),
    (BLOCK + r"\.conv_1x1(\..*)", THEIRS + r".local_rep.1.conv\3"),
    (BLOCK + r"\.(conv_(?:proj|fusion).*)", THEIRS + r".\3"),
    (BLOCK + r"\.transformer\.(\d)\.attn\.qkv\.(.*)", THEIRS + r".global_rep.\3.attn.attn.in_proj_\4"),
    (BLOCK + r"\.transformer\.(\d)\.attn\.proj(\..*)", THEIRS + r".global_rep.\3.attn.attn.out_proj\4"),
    (BLOCK + r"\.transformer\.(\d)\.norm(\d)(\..*)", THEIRS + r".global_rep.\3.ln\4\5"),
    (BLOCK + r"\.transformer\.(\d)\.mlp\.fc1(\..*)", THEIRS + r".global_rep.\3.ffn.layers.0.0\4"),
    (BLOCK + r"\.transformer\.(\d)\.mlp\.fc2(\..*)", THEIRS + r".global_rep.\3.ffn.layers.1\4"),
    *((rf"backbone\.stages_{k}\.1\.norm(\..*)", rf"pretrained.layers.{k}.1.global_rep.{n}\1")
      for k, n in DEPTHS.items()),
]  # fmt: skip
PSP: Rules = [
    *((rf"head\.pyramid\.levels\.{k}(\..*)", rf"head.psp.conv{k + 1}\1") for k in range(4)),
    (r"head\.bottleneck(\..*)", r"head.block\1"),
    (r"(head\.classifier\..*)", r"\1"),
]


@pytest.mark.parametrize("name", ["mobilevit_xxs", "mobilevit_xs", "mobilevit_s"])
def test_cirkds_files(name: str) -> None:
    options = {"num_classes": 11, "backbone": name, "family": "cirkd", "channels": (80, 128), "auxiliary_channels": 0}
    state = published("pspnet", options, [*CIRKD, *PSP])
    assert which_mobilevit(state, "pretrained.") == name
    assert_recognized(recognize(state), "pspnet", options)


@pytest.mark.parametrize("name", ["mobilevit_xxs", "mobilevit_s"])
def test_openmmlabs_imagenet_files(name: str, tmp_path: Path) -> None:
    """Their attention is one linear layer; CIRKD renames it to torch's."""
    options = {"num_classes": 3, "backbone": name, "family": "cirkd", "channels": (8, 8), "auxiliary_channels": 0}
    state = {key: value for key, value in on_meta("pspnet", options).items() if key.startswith("backbone.")}
    file = {}
    for key, value in state.items():
        (theirs,) = [re.sub(pattern, name, key) for pattern, name in CIRKD if re.fullmatch(pattern, key)]
        theirs = theirs.replace("attn.attn.in_proj_", "attn.qkv.").replace("attn.attn.out_proj", "attn.proj")
        file[theirs.replace("pretrained.", "backbone.")] = value
    file["head.fc.weight"] = torch.empty(1000, 8, device="meta")
    path = fabricate({"state_dict": layout_of(file)}, tmp_path / "mobilevit.pth")
    module = MODELS["pspnet"](3, **{key: value for key, value in options.items() if key != "num_classes"}).backbone
    assert load_pretrained(module, str(path)) == ()


def dilations(module: nn.Module) -> dict[str, int]:
    return {name: m.dilation[0] for name, m in module.named_modules() if isinstance(m, nn.Conv2d) and m.dilation[0] > 1}


def test_cirkd_dilates_depthwise_convolutions_and_projects_without_activation() -> None:
    module = make_backbone("mobilevit_xxs", FAMILIES["cirkd"], 8).module
    assert dilations(module) == {"stages_3.0.conv2_kxk.conv": 2, "stages_4.0.conv2_kxk.conv": 4}
    paddings = [m.padding for name, m in module.named_modules() if name in dilations(module)]
    assert paddings == [(2, 2), (4, 4)]
    for stage in (2, 3, 4):
        projection = module.get_submodule(f"stages_{stage}.1.conv_proj.bn")
        assert isinstance(projection.act, nn.Identity)
        assert isinstance(module.get_submodule(f"stages_{stage}.1.conv_fusion.bn.act"), nn.SiLU)
    assert [m.shape[-1] for m in module(torch.rand(1, 3, 64, 64))] == [16, 8, 8, 8]


def test_other_families_have_the_original() -> None:
    module = make_backbone("mobilevit_xxs", FAMILIES["mmseg"], 8).module
    assert "stages_4.1.conv_kxk.conv" in dilations(module)
    assert isinstance(module.get_submodule("stages_4.1.conv_proj.bn.act"), nn.SiLU)
