"""Students saved and loaded as huggingface_hub does it; no network."""

from dataclasses import replace
from pathlib import Path

import huggingface_hub
import pytest
import torch

import densekd
from densekd.errors import UserError
from densekd.models.detection.gfl import gfl
from densekd.models.dilated import pspnet
from densekd.models.hub import HubModel, card
from densekd.models.package import PackageConfig, save_package
from densekd.ops.boxes import Detections

CONFIG = PackageConfig(
    "pspnet", {"backbone": "resnet18_025", "auxiliary_channels": 0}, ["a", "b", "c"], [[0, 0, 0]] * 3
)


@pytest.fixture
def student() -> HubModel:
    return HubModel(pspnet(3, "resnet18_025", auxiliary_channels=0).eval(), CONFIG)


def test_save_and_load(student: HubModel, tmp_path: Path) -> None:
    student.save_pretrained(tmp_path / "student")
    images = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = student(images)
        for model in (HubModel.from_pretrained(tmp_path / "student"), densekd.load(tmp_path / "student")):
            torch.testing.assert_close(model(images), expected, rtol=0, atol=1e-5)
    assert HubModel.from_pretrained(str(tmp_path / "student")).package == CONFIG
    assert "for 3 classes: a, b, c" in (tmp_path / "student" / "README.md").read_text()


def test_a_name_is_looked_up_on_the_hub(student: HubModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_package(student.model, CONFIG, tmp_path)
    asked = []

    def fetch(name: str, **options: object) -> str:
        asked.append(name)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    densekd.load("somebody/student")
    HubModel._from_pretrained(
        model_id="somebody/other", revision=None, cache_dir=None, force_download=False, token=None
    )
    assert asked == ["somebody/student", "somebody/other"]


def test_what_the_hub_does_not_have(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str, **options: object) -> str:
        raise OSError("404 Client Error\nmore")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    with pytest.raises(UserError, match=r"no such folder, and it could not be had from the hub \(404 Client Error\)"):
        densekd.load("somebody/student")


def test_the_card_names_no_licence() -> None:
    assert "license" not in card(CONFIG)
    assert "pipeline_tag: image-segmentation" in card(CONFIG)


def test_the_card_repeats_the_licenses_that_a_recipe_named() -> None:
    lines = card(replace(CONFIG, licenses={"teacher": "MIT", "data": "no commercial use"})).splitlines()
    assert lines[-2:] == ["- License of the data: no commercial use", "- License of the teacher: MIT"]


def test_a_detector_is_used_as_its_card_says(tmp_path: Path) -> None:
    config = PackageConfig("gfl", {"backbone": "resnet18_025", "channels": 8}, ["a", "b"], [[0, 0, 0]] * 2)
    HubModel(gfl(2, backbone="resnet18_025", channels=8).eval(), config).save_pretrained(tmp_path / "student")
    text = (tmp_path / "student" / "README.md").read_text()
    assert "pipeline_tag: object-detection" in text
    program = text.split("```python\n")[1].split("```")[0].replace("this/repository", str(tmp_path / "student"))
    names: dict[str, object] = {}
    with torch.no_grad():
        exec(program, names)
    found = names["found"]
    assert isinstance(found, Detections)
    assert found.boxes.shape == (len(found.scores), 4)


def test_a_card_shows_images_of_the_models_bands() -> None:
    assert "torch.rand(1, 3, 512, 512))  # RGB in [0, 1]" in card(CONFIG)
    bands = card(replace(CONFIG, bands=(4, 3)))
    assert "torch.rand(1, 2, 512, 512))  # bands (4, 3) in [0, 1]" in bands
