"""Pretrained backbones from a file, a folder and the hub, without any network."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from densekd.errors import UserError
from densekd.models.backbones import make_backbone
from densekd.models.families import FAMILIES
from densekd.models.pretrained import load_pretrained
from densekd.models.swin import Swin

WIDTHS = (16, 32, 64, 128)


def published(**options: Any) -> nn.Module:
    """A narrow ResNet-18 with a deep stem and a classifier, as a hub would have it."""
    return timm.create_model("resnet18", channels=WIDTHS, stem_type="deep", stem_width=8, num_classes=10, **options)


def backbone() -> nn.Module:
    return make_backbone("resnet18_025", FAMILIES["mmseg"], 8).module


def assert_loaded(module: nn.Module, source: nn.Module) -> None:
    theirs = source.state_dict()
    assert all(torch.equal(value, theirs[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("name", ["backbone.pth", "backbone.safetensors"])
def test_local_file(tmp_path: Path, name: str) -> None:
    source, module = published(), backbone()
    state = {key: value.contiguous() for key, value in source.state_dict().items()}
    (save_file if name.endswith("safetensors") else torch.save)(state, tmp_path / name)
    assert "fc.weight" in state
    load_pretrained(module, str(tmp_path / name))
    assert_loaded(module, source)


def test_home_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, module = published(), backbone()
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    monkeypatch.setenv("HOME", str(tmp_path))
    load_pretrained(module, "~/weights.pth")
    assert_loaded(module, source)


def test_timm_folder(tmp_path: Path) -> None:
    torch.manual_seed(5)
    source = timm.create_model("resnet18", num_classes=7, channels=WIDTHS)
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    about = {"architecture": "resnet18", "num_classes": 7, "model_args": {"channels": WIDTHS},
             "pretrained_cfg": {"num_classes": 7, "first_conv": "conv1", "classifier": "fc"}}  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(about))
    module = timm.create_model("resnet18", features_only=True, channels=WIDTHS)
    load_pretrained(module, f"local-dir:{tmp_path}")
    assert_loaded(module, source)


def test_hub_name(monkeypatch: pytest.MonkeyPatch) -> None:
    source, module, asked = published(), backbone(), []

    def create_model(name: str, pretrained: bool) -> nn.Module:
        asked.append((name, pretrained))
        return source

    monkeypatch.setattr(timm, "create_model", create_model)
    load_pretrained(module, "resnet18d.ra2_in1k")
    assert asked == [("resnet18d.ra2_in1k", True)]
    assert_loaded(module, source)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        (lambda: timm.create_model("resnet18", channels=WIDTHS),
         ["missing", "conv1.0.weight"]),
        (lambda: timm.create_model("resnet18", stem_type="deep", stem_width=32),
         ["other shape", "conv1.0.weight (file [32, 3, 3, 3], model [8, 3, 3, 3])"]),
    ],
)  # fmt: skip
def test_a_mismatch_lists_keys_and_loads_nothing(tmp_path: Path, source: Any, parts: list[str]) -> None:
    torch.save(source().state_dict(), tmp_path / "other.pth")
    module = backbone()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(UserError) as caught:
        load_pretrained(module, str(tmp_path / "other.pth"))
    for part in (f"pretrained: {tmp_path / 'other.pth'} does not fit this backbone", "nothing was loaded", *parts):
        assert part in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_an_unreachable_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def create_model(name: str, pretrained: bool) -> nn.Module:
        raise ConnectionError("Name or service not known\nand a long tail")

    module = backbone()
    monkeypatch.setattr(timm, "create_model", create_model)
    message = (
        r"pretrained: resnet18\.a1_in1k is no local file and could not be had from timm's hub "
        r"\(Name or service not known\)\. Fetch it on a machine with a network"
    )
    with pytest.raises(UserError, match=message):
        load_pretrained(module, "resnet18.a1_in1k")


@pytest.mark.parametrize("source", ["resnet18.no_such_tag", "no_such_model", "hf-hub:"])
def test_unknown_names(source: str) -> None:
    with pytest.raises(UserError, match=rf"pretrained: {source} is no local file and could not be had from timm's hub"):
        load_pretrained(backbone(), source)


@pytest.mark.parametrize(
    ("source", "rest"),
    [
        ("no/such/file.pth", ""),
        ("backbone.safetensors", ""),
        ("weights/resnet18", ""),
        ("checkpoints/mmseg/resnet18_v1c-b5776b93.pth",
         " 'densekd fetch RECIPE' brings it from https://download.openmmlab.com/pretrain/third_party/"
         "resnet18_v1c-b5776b93.pth."),
        ("elsewhere/mobilenetv2-imagenet.pth",
         " It is MobileNetV2, ImageNet; download it by hand from "
         "https://drive.google.com/file/d/12EDZjDSCuIpxPv-dkk1vrxA7ka0b0Yjv/view and put it there."),
    ],
)  # fmt: skip
def test_a_missing_file_is_not_looked_up(source: str, rest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = backbone()
    monkeypatch.setattr(timm, "create_model", lambda *_, **__: pytest.fail("the hub was asked"))
    with pytest.raises(UserError) as error:
        load_pretrained(module, source)
    assert str(error.value) == f"pretrained: {source}: no such file.{rest}"


def test_what_is_not_used_is_said(tmp_path: Path) -> None:
    source, module = published(), backbone()
    torch.save({**source.state_dict(), "decode_head.conv.weight": torch.zeros(2)}, tmp_path / "whole.pth")
    notes = load_pretrained(module, str(tmp_path / "whole.pth"))
    assert notes == (f"pretrained: {tmp_path / 'whole.pth'}: not used: decode_head.conv.weight.",)


def test_norms_of_a_swins_maps_begin_anew(tmp_path: Path) -> None:
    swin = Swin("swin_tiny")
    state = {key: value for key, value in swin.state_dict().items() if not key.startswith("norms.")}
    torch.save(state, tmp_path / "swin.pth")
    notes = load_pretrained(Swin("swin_tiny"), str(tmp_path / "swin.pth"))
    assert notes == (
        f"pretrained: {tmp_path / 'swin.pth'}: the norms of the 4 maps begin anew; a classifier has none.",
    )
    # Nothing else may be missing, and no norm of another width is overlooked.
    torch.save(state | {"norms.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(UserError, match=r"other shape 1: norms\.0\.weight"):
        load_pretrained(Swin("swin_tiny"), str(tmp_path / "other.pth"))


def test_a_damaged_file(tmp_path: Path) -> None:
    (tmp_path / "weights.pth").write_bytes(b"hello")
    with pytest.raises(UserError, match=r"weights\.pth: is a text file"):
        load_pretrained(backbone(), str(tmp_path / "weights.pth"))
