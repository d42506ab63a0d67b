"""Distillation without labels: found, refused where labels are needed, trained, resumed and reported honestly."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from training_runs import parsed, run

from densekd.builders.build import build
from densekd.data.unlabelled import unlabelled
from densekd.errors import RecipeError, UserError
from densekd.models.fpn import fpn
from densekd.models.package import PackageConfig, save_package
from densekd.recipe import parse_recipe

OPTIONS = {"backbone": "resnet18_025", "channels": 16}


@pytest.fixture
def pictures(data_root: Path, tmp_path: Path) -> Path:
    """Images alone, and what they may show."""
    shutil.copytree(data_root / "images", tmp_path / "pictures" / "images")
    shutil.copy(data_root / "classes.json", tmp_path / "pictures")
    return tmp_path / "pictures"


@pytest.fixture
def distilled(recipe: dict[str, Any], pictures: Path, tmp_path: Path) -> dict[str, Any]:
    torch.manual_seed(5)
    config = PackageConfig("fpn", OPTIONS, [f"class{k}" for k in range(3)], [[0, 0, 0]] * 3)
    save_package(fpn(3, **OPTIONS), config, tmp_path / "teacher")
    recipe["data"] |= {"dataset": "unlabelled", "root": str(pictures)}
    recipe["teacher"] = {"checkpoint": str(tmp_path / "teacher")}
    recipe["distill"] = [{"method": "pixel", "weight": 1}]
    recipe["task"] = {"kind": "none"}
    return recipe


def test_images_are_found_and_their_labels_are_void(pictures: Path) -> None:
    files = unlabelled(pictures, "train")
    assert len(files) == 6
    assert len(unlabelled(pictures, "elsewhere")) == 9  # both splits lie below images/
    image, label = files.pair(3)
    assert label.shape == image.shape[:2]
    assert np.unique(label).tolist() == [255]
    assert files.labels == "absent"


def test_no_image_and_no_classes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"classes\.json: missing"):
        unlabelled(tmp_path, "train")
    (tmp_path / "classes.json").write_text('{"names": ["a"]}')
    with pytest.raises(UserError, match="no images"):
        unlabelled(tmp_path, "train")


def test_the_student_learns_from_its_terms_alone(distilled: dict[str, Any], tmp_path: Path) -> None:
    distilled["training"] |= {"steps": 30, "log_every": 1}
    distilled["optimizer"]["lr"] = 0.01
    results = run(parsed(distilled), tmp_path / "run")
    rows = (tmp_path / "run" / "metrics.csv").read_text().splitlines()
    names = rows[0].split(",")
    assert not [name for name in names if name.startswith("task/")]
    losses = [float(row.split(",")[names.index("distill/pixel")]) for row in rows[1:] if row.split(",")[1]]
    assert np.mean(losses[-5:]) < 0.5 * np.mean(losses[:3])
    student = results["student"]
    assert student["miou"] is None
    assert student["agreement"] > 50
    report = (tmp_path / "run" / "report.html").read_text()
    assert "of the pixels the teacher&#39;s class; there are no labels to score it with" in report
    assert json.loads((tmp_path / "run" / "results.json").read_text())["student"]["agreement"] == student["agreement"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": {}}, r"these images have no labels; say 'task: \{kind: none\}'"),
        ({"distill": [{"method": "ifvd", "weight": 1, "student": "pre_logits", "teacher": "pre_logits"}]},
         r"distill\.0: ifvd learns from labels, and these images have none"),
        ({"distill": [{"method": "dkd", "weight": 1}]}, r"distill\.0: dkd learns from labels"),
        ({"distill": [{"method": "pixel", "weight": 1, "options": {"void": "masked"}}]}, "pixel learns from labels"),
        ({"distill": [], "teacher": None}, "task.kind is none and there is nothing under distill"),
    ],
)  # fmt: skip
def test_what_cannot_be_learnt_is_said(distilled: dict[str, Any], change: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        build(parse_recipe(distilled | change, "test"))


def test_features_alone(distilled: dict[str, Any], tmp_path: Path) -> None:
    taps = {"student": "features.{1,2}", "teacher": "features.{1,2}"}
    distilled["distill"] = [{"method": "pkd", "weight": 10, **taps}, {"method": "hwd", "weight": 1}]
    assert run(parsed(distilled), tmp_path / "run")["student"]["miou"] is None
