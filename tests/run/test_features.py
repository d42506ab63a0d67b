"""Feature pictures of real runs: with and without teacher file and baseline, for each task."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from training_runs import parsed, run

from densekd.errors import UserError
from densekd.models import MODELS
from densekd.models.classes import unnamed_classes
from densekd.models.package import config_of, save_package
from densekd.report.features import FeatureOptions
from densekd.run.features import draw_features

SMALL = FeatureOptions(images=2, pixels=20)


def teacher_package(folder: Path, classes: int) -> Path:
    options = {"backbone": "resnet18_050", "channels": 16}
    model = MODELS["fpn"](classes, **options)
    save_package(model, config_of("fpn", options, unnamed_classes(classes), "segmentation"), folder)
    return folder


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_a_run_with_teacher_and_baseline(recipe: dict[str, Any], data_root: Path, tmp_path: Path) -> None:
    teacher = teacher_package(tmp_path / "teacher", 3)
    recipe["teacher"] = {"checkpoint": str(teacher)}
    recipe["distill"] = [{"method": "cwd", "weight": 1}]
    recipe["baseline"] = "train"
    recipe["training"]["steps"] = 2
    run(parsed(recipe), tmp_path / "run")
    page, notes = draw_features(tmp_path / "run", SMALL)
    assert notes == []
    text = page.read_text(encoding="utf-8")
    for name in ("class0", "class1", "class2", "logits: class0"):
        assert name in text
    assert text.count('<svg class="scatter"') == 6
    # A teacher that is gone leaves its column empty; other data is other data.
    (teacher / "model.safetensors").rename(tmp_path / "gone")
    page, notes = draw_features(tmp_path / "run", SMALL, data_root)
    assert len(notes) == 1
    assert notes[0].startswith("teacher: ")
    assert "model.safetensors" in notes[0]
    text = page.read_text(encoding="utf-8")
    assert text.count('<svg class="scatter"') == 4
    assert str(teacher) in text


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_a_student_alone(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["training"]["steps"] = 1
    run(parsed(recipe), tmp_path / "run")
    page, notes = draw_features(tmp_path / "run", SMALL)
    assert notes == ["teacher: the recipe has no teacher", "alone: not trained: the recipe has no baseline"]
    assert page == tmp_path / "run" / "features.html"
    with pytest.raises(UserError, match=r"no recipe\.yaml"):
        draw_features(tmp_path, SMALL)
    # A baseline that was asked for and is not there yet.
    content = yaml.safe_load((tmp_path / "run" / "recipe.yaml").read_text())
    (tmp_path / "run" / "recipe.yaml").write_text(yaml.safe_dump(content | {"baseline": "train"}))
    _, notes = draw_features(tmp_path / "run", SMALL)
    assert notes[1].startswith("alone: not trained yet: ")


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_a_detector(detection_recipe: dict[str, Any], tmp_path: Path) -> None:
    detection_recipe["training"]["steps"] = 1
    run(parsed(detection_recipe), tmp_path / "run")
    page, _ = draw_features(tmp_path / "run", SMALL)
    text = page.read_text(encoding="utf-8")
    assert "neck.0" in text
    assert "car (" in text


@pytest.mark.filterwarnings("ignore::UserWarning:lightning")
def test_depth(depth_root: Path, recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["data"] |= {"dataset": "depth", "root": str(depth_root)}
    recipe["task"] = {"kind": "depth"}
    recipe["training"]["steps"] = 1
    run(parsed(recipe), tmp_path / "run")
    page, _ = draw_features(tmp_path / "run", SMALL)
    text = page.read_text(encoding="utf-8")
    assert len(re.findall(r"</span>[\d.]+ to [\d.]+ m \(\d+\)", text)) == 8
    assert "logits: output" in text
