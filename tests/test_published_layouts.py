"""Files in the layouts of published ones, opened by the doors that recipes use: every tensor is used or explained.

``DENSEKD_GOLDEN`` names another folder than ``tests/golden``; it holds ``layouts/``.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
from published_layouts import fabricate, layout_names, published_name, read_layout, tensor_keys
from torch import nn
from typer.testing import CliRunner

from densekd.builders.models import build_model
from densekd.cli.app import app
from densekd.errors import UserError
from densekd.models import MODELS, contract
from densekd.models.backbones import BACKBONES
from densekd.models.checkpoints.file import Checkpoint
from densekd.models.checkpoints.imagenet import as_backbone
from densekd.models.checkpoints.load import match
from densekd.models.checkpoints.recognize import recognize
from densekd.models.checkpoints.unusable import describe_unusable
from densekd.models.mit import MITS
from densekd.models.open import open_model
from densekd.models.swin import SWINS
from densekd.recipe import load_recipe

NAMES = layout_names()
RECIPES = sorted((Path(__file__).parents[1] / "recipes").rglob("*.yaml"))
# Entries that the original has and never runs, or computes from the rest.
EXPLAINED = re.compile(r".*(decode_head\.conv_seg|integral\.project|relative_position_index|attn_mask).*")
SMALL = 30e6


@pytest.fixture(autouse=True)
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where anything is looked up on a hub."""
    create = timm.create_model

    def build(name: str, pretrained: bool = False, **options: Any) -> Any:
        assert not pretrained, f"{name} was looked up"
        return create(name, **options)

    def download(*_: object, **__: object) -> None:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr(timm, "create_model", build)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)


# Backbones by the word that is said of a file that holds one alone.
KINDS = {
    "ResNet": [name for name in BACKBONES if name.startswith("res")],
    "mix transformer": list(MITS),
    "Swin": list(SWINS),
    "MobileViT": [name for name in BACKBONES if name.startswith("mobilevit")],
    "MobileNetV3": [name for name in BACKBONES if name.startswith("mobilenetv3")],
    "MobileNetV2": ["mobilenetv2_100"],
}


def backbones(kind: str) -> Iterator[nn.Module]:
    """Build every backbone of a kind that a recipe may name, without memory."""
    model = {"mix transformer": "segformer", "Swin": "upernet"}.get(kind, "pspnet")
    families = ("mmseg", "mmseg_b", "cirkd") if kind == "ResNet" else ("mmseg",)
    with torch.device("meta"):
        for name in KINDS[kind]:
            for family in families:
                yield MODELS[model](19, backbone=name, family=family).backbone


def fills_a_backbone(checkpoint: Checkpoint) -> bool:
    """Tell whether a file fills some backbone in full and leaves nothing but a classifier over."""
    said = describe_unusable(checkpoint.state)
    assert said is not None
    (kind,) = [kind for kind in KINDS if f" {kind} " in said]
    for backbone in backbones(kind):
        adapted = as_backbone(checkpoint.state, backbone.state_dict())
        if not adapted.others and match(backbone, adapted.state, ("norms.*",)).complete:
            return True
    return False


@pytest.mark.parametrize("name", NAMES)
def test_every_tensor_is_used_or_explained(name: str, tmp_path: Path) -> None:
    layout = read_layout(name)
    checkpoint = Checkpoint.read(fabricate(layout, tmp_path / published_name(name)))
    found = recognize(checkpoint.state)
    if found is None:
        assert fills_a_backbone(checkpoint)
        return
    with torch.device("meta"):
        model = MODELS[found.model](**found.options)
    assert match(model, found.state).complete
    assert all(EXPLAINED.fullmatch(key) for key in found.unused)
    # Of a file with two networks the other one is read with #teacher.
    if len(checkpoint.state) == len(list(tensor_keys(layout))):
        assert len(found.state) + len(found.unused) == len(checkpoint.state)


@pytest.mark.parametrize("name", NAMES)
def test_small_models_open_and_are_inspected(name: str, tmp_path: Path) -> None:
    path = fabricate(read_layout(name), tmp_path / published_name(name))
    state = Checkpoint.read(path).state
    if recognize(state) is None:
        with pytest.raises(UserError, match="under 'pretrained'"):
            open_model(path)
        return
    if sum(value.numel() for value in state.values()) > SMALL:
        pytest.skip("takes long to build; its keys and shapes are compared above")
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["inspect", str(path), "--size", "64x64"])
    assert result.exit_code == 0, result.output
    assert "matched" in result.output


def named_by_recipes() -> list[tuple[Path, str]]:
    """List the recipes whose student begins with a file that has a layout here."""
    files = {published_name(name): name for name in NAMES}
    named = []
    for path in RECIPES:
        source = load_recipe(path).student.pretrained
        if source is not None and Path(source).name in files:
            named.append((path, files[Path(source).name]))
    return named


@pytest.mark.parametrize(("path", "layout"), named_by_recipes(), ids=lambda value: Path(value).stem)
def test_students_of_recipes_begin_with_published_files(path: Path, layout: str, tmp_path: Path) -> None:
    spec = load_recipe(path).student
    assert spec.pretrained is not None
    file = fabricate(read_layout(layout), tmp_path / Path(spec.pretrained).name)
    opened = build_model(spec.model_copy(update={"pretrained": str(file)}), 19, "student")
    backbone = contract.backbone(opened.model)
    assert backbone is not None
    # The last entry is one of the last stage's.
    state = {key: value for key, value in backbone.state_dict().items() if not key.startswith("norms.")}
    adapted = as_backbone(Checkpoint.read(file).state, backbone.state_dict()).state
    assert all(torch.equal(value, adapted[key]) for key, value in state.items() if key in adapted)
    assert {key for key in state if key not in adapted} <= {key for key in state if "num_batches" in key}
    notes = [note for note in opened.notes if "begin anew" in note]
    assert len(notes) == (layout.startswith("swin_"))


def test_recipes_name_files_as_published() -> None:
    assert len(named_by_recipes()) >= 15


def test_the_wrapper_of_a_whole_file_is_read(tmp_path: Path) -> None:
    name = "pspnet_r18-d8_512x1024_80k_cityscapes.pth"
    path = fabricate(read_layout(name), tmp_path / name)
    assert open_model(path).origin.meta == {"epoch": 1, "iter": 1}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("student", "teacher"),
    [("architecture.model.", "distiller.teacher."), ("architecture.", "teacher."), ("student.", "teacher.")],
    ids=["mmrazor 0.x", "mmrazor 1.x", "segdistill"],
)
def test_both_networks_of_a_distillation_are_read(student: str, teacher: str, tmp_path: Path) -> None:
    small = read_layout("pspnet_r18-d8_512x1024_80k_cityscapes.pth")["state_dict"]
    large = read_layout("pspnet_r101-d8_512x1024_80k_cityscapes_20200606_112211-e1e1100f.pth")["state_dict"]
    state = {f"{student}{key}": leaf for key, leaf in small.items()}
    state |= {f"{teacher}{key}": leaf for key, leaf in large.items()}
    path = fabricate({"meta": {"iter": "<int>"}, "state_dict": state}, tmp_path / "distilled.pth")
    for part, backbone in (("", "resnet18"), ("#student", "resnet18"), ("#teacher", "resnet101")):
        found = recognize(Checkpoint.read(path.with_name(f"distilled.pth{part}")).state)
        assert found is not None
        assert found.options["backbone"] == backbone
