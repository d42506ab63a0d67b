"""Convert published files to packages and plain weights; the command line says what they hold."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from golden_models import published_state
from PIL import Image
from safetensors.torch import load_file
from typer.testing import CliRunner

from densekd.cli.app import app
from densekd.errors import UserError
from densekd.models.convert import convert
from densekd.models.open import open_model


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("published") / "pspnet_r18-d8.pth"
    meta = {
        "epoch": 12,
        "config": "norm_cfg = dict(type='SyncBN')\nmodel = dict()",
        "CLASSES": tuple("abcdefghijklmnopqrs"),
    }
    torch.save({"meta": meta, "state_dict": published_state("mmseg_pspnet_r18-d8")}, path)
    return path


def run(*arguments: str | Path) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(a) for a in arguments])
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


def test_inspect_says_what_a_file_holds(checkpoint: Path) -> None:
    said = run("inspect", checkpoint, "--size", "64x64")
    for part in (
        "mmsegmentation",
        "pspnet",
        "resnet18",
        "matched 172",
        "meta epoch",
        "12",
        "norm_cfg",
        "a, b, c",
        "12,790,086",
    ):
        assert part in said


def test_a_package_of_a_published_file_gives_the_same_logits(checkpoint: Path, tmp_path: Path) -> None:
    run("convert", checkpoint, tmp_path / "teacher", "--classes", "cityscapes")
    model = open_model(tmp_path / "teacher").model
    config = open_model(tmp_path / "teacher").config
    assert config.classes[:2] == ["road", "sidewalk"]
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        # One of them is channels-last.
        torch.testing.assert_close(model(images), open_model(checkpoint).model(images), rtol=0, atol=1e-3)


def test_plain_weights_under_our_names(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "teacher.safetensors"
    run("convert", checkpoint, out)
    assert load_file(out).keys() == open_model(checkpoint).model.state_dict().keys()
    with pytest.raises(UserError, match="exists already; --force replaces it"):
        convert(open_model(checkpoint), out, None, "refuse")
    run("convert", checkpoint, out, "--force")
    with pytest.raises(UserError, match="has 19 classes, voc 21"):
        convert(open_model(checkpoint), tmp_path / "x", "voc", "refuse")


def test_a_published_file_predicts(checkpoint: Path, tmp_path: Path) -> None:
    Image.fromarray(np.zeros((32, 48, 3), np.uint8)).save(tmp_path / "a.png")
    run("predict", checkpoint, tmp_path / "a.png", "--out", tmp_path / "out")
    with Image.open(tmp_path / "out" / "labels" / "a.png") as picture:
        assert picture.size == (48, 32)
    assert json.dumps(open_model(checkpoint).config.classes) == json.dumps(list("abcdefghijklmnopqrs"))


def test_plain_torch_load(checkpoint: Path, tmp_path: Path) -> None:
    run("convert", checkpoint, tmp_path / "a.pth")
    state = torch.load(tmp_path / "a.pth", weights_only=True)
    ours = open_model(checkpoint).model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in ours.items())


def test_models_are_listed_with_published_parameter_counts(tmp_path: Path) -> None:
    run("models", "--size", "64x64", "--json", tmp_path / "models.json")
    rows = json.loads((tmp_path / "models.json").read_text())
    found = {(row["model"], json.dumps(row["options"], sort_keys=True)): row["parameters"] / 1e6 for row in rows}

    def parameters(model: str, **options: object) -> float:
        return found[model, json.dumps(options, sort_keys=True)]

    def deeplab(backbone: str, width: int, **more: object) -> float:
        return parameters("deeplabv3", backbone=backbone, family="cirkd", channels=width, **more)

    # What the projects and their code say, in millions, for 19 classes or ADE20K's 150.
    assert parameters("pspnet", backbone="resnet101", family="mmseg") == pytest.approx(67.97, abs=0.005)
    assert parameters("pspnet", backbone="resnet18", family="mmseg") == pytest.approx(12.79, abs=0.005)
    assert deeplab("resnet101", 512) == pytest.approx(79.08, abs=0.005)
    assert deeplab("resnet101", 256) == pytest.approx(61.12, abs=0.005)
    assert deeplab("resnet18", 512) == pytest.approx(22.76, abs=0.005)
    assert deeplab("resnet18", 128) == pytest.approx(13.61, abs=0.005)
    assert deeplab("mobilenetv2_100", 128, auxiliary_channels=0) == pytest.approx(3.23, abs=0.005)
    assert deeplab("mobilenetv3_small_100", 128, auxiliary_channels=0) == pytest.approx(3.30, abs=0.005)
    assert deeplab("mobilevit_xxs", 128, auxiliary_channels=0) == pytest.approx(2.37, abs=0.005)
    lite = {"backbone": "resnet18", "channels": [512, 128], "family": "cirkd"}
    assert parameters("upernet", **lite) == pytest.approx(16.57, abs=0.005)
    assert parameters("upernet", backbone="swin_base") == pytest.approx(121.28, abs=0.005)
    assert parameters("segformer", backbone="mit_b4", family="cirkd") == pytest.approx(64.01, abs=0.005)
    assert all(row["multiply_adds"] > 0 for row in rows)
