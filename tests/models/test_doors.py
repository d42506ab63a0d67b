"""Every source of a model through every door: Python, command line, teacher and student of a recipe.

A door opens what every other one opens, with the same numbers; where a source makes no sense the refusal is the same.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from golden_models import torchdistiller_names
from torch import nn
from typer.testing import CliRunner

import densekd
from densekd.builders.build import build
from densekd.cli.app import app
from densekd.data.classes import read_classes
from densekd.errors import UserError
from densekd.models import MODELS
from densekd.models.convert import convert
from densekd.models.open import Opened
from densekd.models.package import PackageConfig, config_of, save_package
from densekd.recipe import parse_recipe

FPN = {"backbone": "resnet18_025", "channels": 16}
OWN = """
import torch

class Net(torch.nn.Module):
    def __init__(self, num_classes=3):
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.conv = torch.nn.Conv2d(3, num_classes, 4, 4, bias=False)
        self.conv.weight.data = torch.randn(self.conv.weight.shape, generator=generator)

    def forward(self, images):
        return self.conv(images)
"""


class Kind:
    """One kind of source: what to write, the student it fits, and the logits it must give."""

    def __init__(self, source: str, student: dict[str, Any], model: nn.Module) -> None:
        self.source = source
        self.student = student
        self.model = model.eval()


@pytest.fixture
def opened(data_root: Path) -> Opened:
    """A segmentation model that knows the classes of the data."""
    torch.manual_seed(1)
    model = MODELS["fpn"](3, **FPN)
    model(torch.rand(2, 3, 64, 64))  # moves the running statistics
    classes = read_classes(data_root / "classes.json")
    return Opened(model.eval(), classes, config_of("fpn", FPN, classes, "segmentation"))


def run_folder(opened: Opened, folder: Path, patch: pytest.MonkeyPatch) -> Kind:
    save_package(opened.model, opened.config, folder / "run" / "student")
    return Kind(str(folder / "run"), {"model": "fpn", "options": FPN}, opened.model)


def student_folder(opened: Opened, folder: Path, patch: pytest.MonkeyPatch) -> Kind:
    save_package(opened.model, opened.config, folder / "student")
    return Kind(str(folder / "student"), {"model": "fpn", "options": FPN}, opened.model)


def our_checkpoint(opened: Opened, folder: Path, patch: pytest.MonkeyPatch) -> Kind:
    state = {f"student.{key}": value for key, value in opened.model.state_dict().items()}
    state["terms.cwd.adapter.weight"] = torch.ones(2)
    content = {"state_dict": state, "global_step": 9, "densekd": {"package": vars(opened.config)}}
    torch.save(content, folder / "last.ckpt")
    return Kind(str(folder / "last.ckpt"), {"model": "fpn", "options": FPN}, opened.model)


def our_safetensors(opened: Opened, folder: Path, patch: pytest.MonkeyPatch) -> Kind:
    convert(opened, folder / "fpn.safetensors", None, "refuse")
    return Kind(str(folder / "fpn.safetensors"), {"model": "fpn", "options": FPN}, opened.model)


def published(opened: Opened, folder: Path, patch: pytest.MonkeyPatch) -> Kind:
    options = {"backbone": "resnet18", "family": "torchdistiller", "auxiliary_channels": 0}
    model = MODELS["pspnet"](3, **options)
    torch.save(torchdistiller_names(model.state_dict()), folder / "CS_scenes.pth")
    return Kind(str(folder / "CS_scenes.pth"), {"model": "pspnet", "options": options}, model)


def url(opened: Opened, folder: Path, patch: pytest.MonkeyPatch) -> Kind:
    patch.setattr(torch.hub, "get_dir", lambda: str(folder / "hub"))
    kind = our_safetensors(opened, folder, patch)
    file = Path(kind.source)
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    return Kind(f"{file.as_uri()}#sha256={checksum}", kind.student, kind.model)


def hub_name(opened: Opened, folder: Path, patch: pytest.MonkeyPatch) -> Kind:
    kind = student_folder(opened, folder, patch)
    patch.setattr(huggingface_hub, "snapshot_download", lambda name, **options: kind.source)
    return Kind("somebody/student", kind.student, kind.model)


def transformers(opened: Opened, folder: Path, patch: pytest.MonkeyPatch) -> Kind:
    pytest.importorskip("transformers")
    from tiny_hf import SEMANTIC, save

    patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    save("segformer", 3, folder / "segformer")
    model = densekd.models.find_model(f"hf:{folder / 'segformer'}")(num_classes=3, weights="all")
    student = {"model": "hf:segformer", "options": {"config": SEMANTIC["segformer"]}}
    return Kind(f"hf:{folder / 'segformer'}", student, model)


def own(opened: Opened, folder: Path, patch: pytest.MonkeyPatch) -> Kind:
    (folder / "my_doors.py").write_text(OWN)
    patch.chdir(folder)
    patch.delitem(sys.modules, "my_doors", raising=False)
    model = densekd.models.find_model("my_doors:Net")()
    return Kind("my_doors:Net", {"model": "my_doors:Net"}, model)


KINDS: dict[str, Callable[[Opened, Path, pytest.MonkeyPatch], Kind]] = {
    "run folder": run_folder,
    "student folder": student_folder,
    "our checkpoint": our_checkpoint,
    "our safetensors": our_safetensors,
    "published file": published,
    "url": url,
    "hub name": hub_name,
    "hf": transformers,
    "own": own,
}
# Architectures: no door makes a trained model of them.
UNTRAINED = ("fpn", "timm:resnet18", "smp:unet/resnet18", "torchvision:lraspp_mobilenet_v3_large")
REFUSAL = "names an architecture, and no trained weights come with it"


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest, opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kind:
    return KINDS[request.param](opened, tmp_path, monkeypatch)


def run(*arguments: object) -> Any:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(a) for a in arguments])


def assert_same(model: nn.Module, kind: Kind) -> None:
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = kind.model(images)
        tolerance = 1e-4 * expected.abs().max().item()
        torch.testing.assert_close(model.eval()(images), expected, rtol=0, atol=tolerance)


def test_load(kind: Kind) -> None:
    model = densekd.load(kind.source)
    assert not model.training
    assert len(model.classes) == 3
    assert_same(model, kind)


def test_evaluate(kind: Kind, data_root: Path, tmp_path: Path) -> None:
    result = run("evaluate", kind.source, "--data", data_root, "--json", tmp_path / "scores.json")
    assert result.exit_code == 0, result.output + str(result.exception)
    assert 0 <= json.loads((tmp_path / "scores.json").read_text())["miou"] <= 100


def test_inspect(kind: Kind) -> None:
    result = run("inspect", kind.source, "--size", "64x64")
    assert result.exit_code == 0, result.output + str(result.exception)
    parameters = sum(p.numel() for p in kind.model.parameters())
    # A name is built as an architecture, for 19 classes and without its weights.
    named = kind.source.startswith(("my_doors:", "hf:"))
    assert named or f"{parameters:,}" in result.output


def test_teacher(kind: Kind, recipe: dict[str, Any]) -> None:
    recipe["teacher"] = {"checkpoint": kind.source}
    recipe["distill"] = [{"method": "cwd", "weight": 1, "resize_to": "teacher"}]
    built = build(parse_recipe(recipe, "test"))
    assert built.scored_teacher is not None
    assert_same(built.scored_teacher, kind)


def test_student(kind: Kind, recipe: dict[str, Any]) -> None:
    recipe["student"] = {**kind.student, "checkpoint": kind.source}
    assert_same(build(parse_recipe(recipe, "test")).distiller.student, kind)


@pytest.mark.parametrize("source", UNTRAINED)
def test_an_architecture_is_refused_alike_at_every_door(source: str, recipe: dict[str, Any], data_root: Path) -> None:
    with pytest.raises(UserError, match=f"{source} {REFUSAL}"):
        densekd.load(source)
    result = run("evaluate", source, "--data", data_root)
    assert f"{source} {REFUSAL}" in str(result.exception)
    recipe["teacher"] = {"checkpoint": source}
    recipe["distill"] = [{"method": "cwd", "weight": 1, "resize_to": "teacher"}]
    with pytest.raises(UserError, match=f"{source} {REFUSAL}"):
        build(parse_recipe(recipe, "test"))
    del recipe["teacher"], recipe["distill"]
    recipe["student"]["checkpoint"] = source
    with pytest.raises(UserError, match=f"{source} {REFUSAL}"):
        build(parse_recipe(recipe, "test"))
    # Its shapes can be shown.
    assert run("inspect", source, "--size", "64x64").exit_code == 0


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("no/such/file.pth", "no/such/file.pth: no such file or folder"),
        ("file.pth", "file.pth: no such file or folder"),
        ("owner/name", "owner/name: no such folder, and it could not be had from the hub"),
        ("fnp", "fnp: no such file or folder, and no model of this name. Did you mean 'fpn'?"),
    ],
)
def test_what_is_not_there_is_said_alike_at_every_door(
    source: str, message: str, recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str, **options: object) -> str:
        raise OSError("404 Client Error")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    said = []
    with pytest.raises(UserError) as error:
        densekd.load(source)
    said.append(str(error.value))
    said += [str(run(command, source).exception) for command in ("evaluate", "inspect")]
    recipe["teacher"] = {"checkpoint": source}
    recipe["distill"] = [{"method": "cwd", "weight": 1}]
    with pytest.raises(UserError) as error:
        build(parse_recipe(recipe, "test"))
    # In a recipe the message also names the key and a remedy.
    told = str(error.value)
    assert told.startswith("teacher.checkpoint: ")
    assert told.endswith(" Train or fetch the teacher first, or correct the path.")
    said.append(
        told.removeprefix("teacher.checkpoint: ").removesuffix(
            " Train or fetch the teacher first, or correct the path."
        )
    )
    assert message in said[0]
    assert said == [said[0]] * 4


@pytest.mark.parametrize("door", ["load", "evaluate", "inspect", "convert", "teacher", "student"])
@pytest.mark.parametrize("make", [our_checkpoint, our_safetensors, published], ids=lambda make: make.__name__)
def test_a_file_is_read_once(
    door: str,
    make: Callable[..., Kind],
    opened: Opened,
    tmp_path: Path,
    recipe: dict[str, Any],
    data_root: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from densekd.models.checkpoints import containers

    kind = make(opened, tmp_path, monkeypatch)
    reads = []
    load, safe_open = torch.load, containers.safe_open

    def counted_load(file: Any, *arguments: Any, **options: Any) -> Any:
        reads.append(file)
        return load(file, *arguments, **options)

    def counted_open(file: Any, *arguments: Any, **options: Any) -> Any:
        reads.append(file)
        return safe_open(file, *arguments, **options)

    monkeypatch.setattr(torch, "load", counted_load)
    monkeypatch.setattr(containers, "safe_open", counted_open)
    if door == "load":
        densekd.load(kind.source)
    elif door == "teacher":
        recipe["teacher"] = {"checkpoint": kind.source}
        recipe["distill"] = [{"method": "cwd", "weight": 1, "resize_to": "teacher"}]
        build(parse_recipe(recipe, "test"))
    elif door == "student":
        recipe["student"] = {**kind.student, "checkpoint": kind.source}
        build(parse_recipe(recipe, "test"))
    else:
        more = {"evaluate": ("--data", data_root), "inspect": ("--size", "64x64"), "convert": (tmp_path / "out",)}
        assert run(door, kind.source, *more[door]).exit_code == 0
    assert [Path(file).name for file in reads] == [Path(kind.source).name]


def test_names_travel(opened: Opened, tmp_path: Path) -> None:
    """What a package says of its classes survives every form that densekd writes."""
    config = PackageConfig("fpn", FPN, ["road", "car", "tree"], [[1, 2, 3], [4, 5, 6], [7, 8, 9]], 250, (64, 96))
    named = Opened(opened.model, config.labels, config)
    for out in (tmp_path / "a.safetensors", tmp_path / "folder"):
        convert(named, out, None, "refuse")
        loaded = densekd.models.open.open_model(out)
        assert loaded.config == config
        assert loaded.classes == config.labels
