"""Latency of a run's models: measured in turns, bounded, and never the end of a training."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from training_runs import parsed, run

from densekd.run import latency
from densekd.run.latency import measure
from densekd.seal import read_document


class Sleeper(nn.Module):
    """A model that takes some seconds a picture, and notes its turns."""

    def __init__(self, seconds: float, turns: list[str], name: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seconds, self.turns, self.name = seconds, turns, name

    def forward(self, images: Tensor) -> Tensor:
        assert images.shape == (1, 3, 4, 6)
        assert not self.training
        time.sleep(self.seconds)
        self.turns.append(self.name)
        return images


def test_models_take_turns() -> None:
    turns: list[str] = []
    models = {"student": Sleeper(0.002, turns, "s"), "teacher": Sleeper(0.02, turns, "t")}
    found = measure(models, (4, 6))
    # One warm-up of each, then ten rounds.
    assert turns == ["s", "t"] * 11
    assert found["runs"] == 10
    assert found["size"] == [4, 6]
    assert found["device"] == "cpu"
    assert 2 <= found["milliseconds"]["student"] < 20 <= found["milliseconds"]["teacher"]
    assert found["p95"]["student"] >= found["milliseconds"]["student"]


def test_slow_models_are_measured_once() -> None:
    found = measure({"student": Sleeper(0.05, [], "s")}, (4, 6), seconds=0.01)
    assert found["runs"] == 1
    assert found["milliseconds"]["student"] >= 50


def test_results_and_report_of_a_training(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["teacher"] = recipe["student"] | {"checkpoint": "untrained"}
    recipe["distill"] = [{"method": "cwd", "weight": 1}]
    found = run(parsed(recipe), tmp_path / "run")["latency"]
    assert set(found["milliseconds"]) == {"student", "teacher"}
    assert min(found["milliseconds"].values()) > 0
    assert read_document(tmp_path / "run" / "results.json")["latency"] == found
    size = f"{found['size'][0]} x {found['size'][1]}"
    assert f"one picture of {size} takes the student" in (tmp_path / "run" / "report.html").read_text()


def test_a_measurement_that_fails_loses_nothing(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> Any:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(latency, "measure", fail)
    results = run(parsed(recipe), tmp_path / "run")
    assert "latency" not in results
    assert results["student"]["miou"] is not None
    assert (tmp_path / "run" / "report.html").is_file()
