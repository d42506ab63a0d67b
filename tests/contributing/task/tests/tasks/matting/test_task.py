"""Matting from data to report: a training, its scores, predictions and data check."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from densekd.tasks.matting.metric import MattingMetric
from PIL import Image
from tiny_data import tiny_recipe
from training_runs import parsed, run
from typer.testing import CliRunner

from densekd.cli.app import app


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    for split, count in {"train": 4, "val": 2}.items():
        for kind in ("images", "mattes"):
            (tmp_path / "data" / kind / split).mkdir(parents=True)
        for k in range(count):
            matte = np.zeros((32, 48), np.uint8)
            matte[8:24, 8 + k : 40] = 255
            image = np.where(matte[..., None] > 0, (200, 60, 60), (40, 80, 160)) + rng.integers(0, 20, (32, 48, 3))
            Image.fromarray(image.astype(np.uint8)).save(tmp_path / "data" / "images" / split / f"{k}.png")
            Image.fromarray(matte).save(tmp_path / "data" / "mattes" / split / f"{k}.png")
    content = tiny_recipe(tmp_path / "data")
    content["data"]["dataset"] = "matting"
    content["task"] = {"kind": "matting"}
    return content


def test_mean_absolute_difference() -> None:
    metric = MattingMetric()
    assert metric.compute() == {"mad": None}
    metric.update(torch.tensor([[0.5, 1.0]]), torch.tensor([[0.0, 1.0]]))
    metric.update(torch.tensor([[0.25]]), torch.tensor([[0.0]]))
    assert metric.compute()["mad"] == pytest.approx(0.75 / 3)


def test_a_training_scores_and_predicts(recipe: dict[str, Any], tmp_path: Path) -> None:
    results = run(parsed(recipe), tmp_path / "run")
    assert 0 < results["student"]["mad"] < 1
    stored = json.loads((tmp_path / "run" / "results.json").read_text())
    assert stored["task"] == "matting"
    assert "MAD" in (tmp_path / "run" / "report.html").read_text()
    images = tmp_path / "data" / "images" / "val"
    done = CliRunner().invoke(app, ["predict", str(tmp_path / "run"), str(images), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert np.asarray(Image.open(tmp_path / "out" / "mattes" / "0.png")).shape == (32, 48)


def test_a_data_check_counts_pixels(recipe: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    done = CliRunner().invoke(app, ["data", "check", str(tmp_path / "recipe.yaml"), "--json", str(tmp_path / "a.json")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "a.json").read_text())["splits"]["val"]["pixels"]
    assert found == {"transparent": 2 * 32 * 48 - 16 * (32 + 31), "between": 0, "opaque": 16 * (32 + 31)}
