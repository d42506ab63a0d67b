"""The way of a recipe to the first step reads like a book: every file is entered once, and none twice."""

from pathlib import Path
from typing import Any

import pytest
from training_runs import CPU, QUIET, parsed
from walk import Walk, walking

from densekd.distill.distiller import Distiller
from densekd.run.folder import RunFolder
from densekd.run.train import train


class FirstStep(Exception):
    """The walk is over."""


def walk(content: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> Walk:
    def stop(*arguments: Any) -> None:
        raise FirstStep

    monkeypatch.setattr(Distiller, "training_step", stop)
    recipe = parsed(content)
    with walking() as found, pytest.raises(FirstStep):
        train(recipe, RunFolder(folder), CPU, "refuse", QUIET)
    return found


def test_a_distillation(recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe["teacher"] = recipe["student"] | {"checkpoint": "untrained"}
    recipe["distill"] = [{"method": "cwd", "weight": 1}]
    found = walk(recipe, tmp_path / "run", monkeypatch)
    assert found.returns == []
    assert len(found.rooms) <= 20
    assert found.rooms[0] == "run/train.py"
    assert found.rooms[-1] == "run/fit.py"
    assert {"builders/build.py", "builders/data.py", "builders/models.py", "builders/terms.py"} <= set(found.rooms)


def test_a_return_is_seen() -> None:
    found = Walk()
    found.stays = ["a", "b", "a", "c", "b"]
    assert found.rooms == ["a", "b", "c"]
    assert found.returns == ["a", "b"]
