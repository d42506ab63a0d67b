"""A teacher and a student on tiny data, trained once for all examinations."""

from pathlib import Path
from typing import Any

import pytest
from tiny_data import make_folder, tiny_recipe
from training_runs import parsed, run


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a data folder and the run folder of a teacher that has learnt it."""
    place = tmp_path_factory.mktemp("doctor")
    root = make_folder(place / "data", {"train": 24, "val": 12})
    recipe = tiny_recipe(root)
    recipe["training"] = {"steps": 80, "precision": 32, "log_every": 2, "checkpoint_every": 80}
    recipe["student"] = {"model": "fpn", "options": {"backbone": "resnet18_025", "channels": 32}}
    run(parsed(recipe), place / "teacher")
    return root, place / "teacher"


@pytest.fixture
def healthy(trained: tuple[Path, Path]) -> dict[str, Any]:
    """Return a recipe in which nothing is wrong."""
    root, teacher = trained
    recipe = tiny_recipe(root)
    recipe["teacher"] = {"checkpoint": str(teacher)}
    recipe["training"]["steps"] = 80
    recipe["distill"] = [{"method": "cwd", "weight": 3}]
    return recipe
