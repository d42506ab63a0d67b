"""The run folder's bookkeeping."""

import json
from pathlib import Path
from typing import Any

import pytest

from densekd.recipe import parse_recipe
from densekd.run.claim import claim_run
from densekd.run.environment import environment
from densekd.run.folder import Existing, RunFolder, differences, is_first_process


def make(run: RunFolder, recipe: dict[str, Any], existing: Existing, overrides: tuple[str, ...] = ()) -> None:
    with claim_run(run, parse_recipe(recipe, "a"), existing).taken(overrides):
        pass


def test_differences_are_dotted_keys(recipe: dict[str, Any]) -> None:
    one = parse_recipe(recipe, "a")
    recipe["training"]["seed"] = 7
    recipe["teacher"] = {"model": "fpn", "checkpoint": "untrained"}
    recipe["distill"] = [{"method": "cwd", "weight": 3}]
    found = differences(one, parse_recipe(recipe, "b"))
    assert {"training.seed", "teacher.model", "distill.0.method"} <= set(found)
    assert not [key for key in found if key.startswith(("data", "augment", "student"))]
    assert differences(one, one) == []


def test_resume_keeps_what_is_there(recipe: dict[str, Any], tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "run")
    make(run, recipe, "refuse")
    before = (run.path / "environment.json").read_text()
    recipe["data"] |= {"workers": 2, "cache": "off"}  # neither changes what is learnt
    make(run, recipe, "resume")
    assert (run.path / "environment.json").read_text() == before


def test_environment_is_plain_data() -> None:
    found = json.loads(json.dumps(environment(("a=1",))))
    assert found["overrides"] == ["a=1"]
    assert {"torch", "timm", "lightning", "python"} <= set(found["versions"])
    assert found["machine"]["cores"] >= 1


@pytest.mark.parametrize(
    ("variables", "first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "4", "LOCAL_RANK": "0"}, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "3"}, False),
    ],
)
def test_first_process(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], first: bool) -> None:
    for name in ("RANK", "LOCAL_RANK", "NODE_RANK", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() is first
