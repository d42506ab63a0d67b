"""ImageNet files of every project fill our backbones: keys are made from the published segmentors."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from golden_models import fill
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models import MODELS
from densekd.models.checkpoints.imagenet import as_backbone
from densekd.models.checkpoints.load import match
from densekd.models.pretrained import load_pretrained


def filled(model: nn.Module) -> dict[str, Tensor]:
    return {key: fill(key, list(value.shape)) for key, value in model.state_dict().items()}


def backbone(model: str, name: str, family: str) -> nn.Module:
    return MODELS[model](19, backbone=name, family=family).backbone


def to_deep_stem(key: str) -> str:
    for ours, theirs in (("conv1.0", "conv1"), ("conv1.1", "bn1"), ("conv1.3", "conv2"), ("conv1.4", "bn2")):
        if key.startswith(f"{ours}."):
            return theirs + key.removeprefix(ours)
    if key.startswith("conv1.6."):
        return "conv3" + key.removeprefix("conv1.6")
    return "bn3" + key.removeprefix("bn1") if key.startswith("bn1.") else key


def to_v1c(key: str) -> str:
    key = re.sub(r"^bn1\.", "stem.7.", key)
    return re.sub(r"^conv1\.(\d)\.", r"stem.\1.", key)


def to_nvlabs(key: str) -> str:
    key = re.sub(r"^patch_embed\.", "patch_embed1.", key)
    key = re.sub(r"mlp\.dwconv\.", "mlp.dwconv.dwconv.", key)
    for pattern, to in ((r"downsample\.", "patch_embed{}."), (r"blocks\.", "block{}."), (r"norm\.", "norm{}.")):
        found = re.match(rf"stages\.(\d)\.{pattern}(.*)", key)
        if found:
            return to.format(int(found[1]) + 1) + found[2]
    return key


def to_swin(key: str) -> str:
    key = re.sub(r"^patch_embed\.", "patch_embed.proj.", key)
    key = re.sub(r"^patch_norm\.", "patch_embed.norm.", key)
    key = re.sub(r"^stages\.(\d)\.(\d+)\.", r"layers.\1.blocks.\2.", key)
    key = re.sub(r"^merges\.(\d)\.", r"layers.\1.downsample.", key)
    return re.sub(r"^norms\.(\d)\.", r"norm\1.", key)


@pytest.mark.parametrize("prefix", ["", "backbone."])
@pytest.mark.parametrize(
    ("model", "name", "family", "published"),
    [
        ("pspnet", "resnet18", "mmseg_b", lambda key: key),
        ("pspnet", "resnet18", "cirkd", to_deep_stem),
        ("pspnet", "resnet18", "mmseg", to_v1c),
        ("pspnet", "mobilenetv2_100", "cirkd", lambda key: key),
        ("segformer", "mit_b0", "nvlabs", to_nvlabs),
        ("upernet", "swin_tiny", "mmseg", to_swin),
    ],
    ids=["torchvision", "cirkd", "v1c", "timm", "nvlabs", "swin"],
)
def test_every_projects_names(
    tmp_path: Path, model: str, name: str, family: str, published: object, prefix: str
) -> None:
    target = backbone(model, name, family)
    state = filled(target)
    file = {prefix + published(key): value for key, value in state.items()}
    file |= {"fc.weight": torch.ones(1000, 512), "head.bias": torch.ones(1000)}
    torch.save({"state_dict": file}, tmp_path / "imagenet.pth")
    load_pretrained(target, str(tmp_path / "imagenet.pth"))
    for key, value in target.state_dict().items():
        if not key.endswith(("num_batches_tracked", "norms.0.weight")):
            assert torch.equal(value, state[key]), key


@pytest.mark.parametrize(
    ("classifier", "model", "name", "family"),
    [
        (partial(torchvision.models.get_model, "resnet18"), "pspnet", "resnet18", "mmseg_b"),
        (partial(torchvision.models.get_model, "resnet50"), "gfl", "resnet50", "mmdet"),
        (partial(torchvision.models.get_model, "resnet152"), "fcn", "resnet152", "mmseg_b"),
        (partial(torchvision.models.get_model, "mobilenet_v2"), "deeplabv3", "mobilenetv2_100", "mmseg"),
        (partial(timm.create_model, "mobilenetv2_100"), "deeplabv3", "mobilenetv2_100", "cirkd"),
        (partial(timm.create_model, "mobilenetv3_large_100"), "pspnet", "mobilenetv3_large_100", "mmseg"),
        (partial(timm.create_model, "mobilevit_xs"), "pspnet", "mobilevit_xs", "mmseg"),
    ],
    ids=lambda value: value.args[0] if isinstance(value, partial) else None,
)
def test_files_of_libraries(classifier: Any, model: str, name: str, family: str) -> None:
    with torch.device("meta"):
        state = classifier().state_dict()
        target = backbone(model, name, family)
    adapted = as_backbone(state, target.state_dict())
    assert match(target, adapted.state).complete
    assert adapted.others == ()
    assert adapted.classifier


def test_what_belongs_to_no_backbone_is_told_from_a_classifier() -> None:
    with torch.device("meta"):
        state = {**torchvision.models.get_model("resnet18").state_dict(), "decode_head.conv_seg.bias": torch.zeros(1)}
        target = backbone("pspnet", "resnet18", "mmseg_b")
    adapted = as_backbone(state, target.state_dict())
    assert (adapted.classifier, adapted.others) == (("fc.weight", "fc.bias"), ("decode_head.conv_seg.bias",))


def test_another_depth_does_not_fit(tmp_path: Path) -> None:
    torch.save(filled(backbone("pspnet", "resnet34", "mmseg_b")), tmp_path / "resnet34.pth")
    target = backbone("pspnet", "resnet50", "mmseg_b")
    with pytest.raises(UserError, match="does not fit this backbone; nothing was loaded"):
        load_pretrained(target, str(tmp_path / "resnet34.pth"))
