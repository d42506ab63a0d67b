"""``densekd.train``: a recipe in any form, a quiet run, a typed result."""

import json
import logging
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import densekd
from densekd.api.train import Training
from densekd.errors import RecipeError, UserError
from densekd.recipe import parse_recipe
from densekd.seal import read_document


def test_a_mapping_is_trained(training: Training) -> None:
    assert training.results == read_document(training.run / "results.json")
    assert json.loads((training.run / "environment.json").read_text())["overrides"] == ["training.steps=3"]
    assert yaml.safe_load((training.run / "recipe.yaml").read_text())["training"]["steps"] == 3
    student = training.student()
    assert student(torch.rand(1, 3, 32, 32)).shape == (1, 3, 8, 8)


@pytest.mark.parametrize("form", ["path", "text", "recipe", "run"])
def test_every_form_of_a_recipe(recipe: dict[str, Any], tmp_path: Path, form: str) -> None:
    recipe["training"]["steps"] = 1
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    forms = {
        "path": tmp_path / "recipe.yaml",
        "text": str(tmp_path / "recipe.yaml"),
        "recipe": parse_recipe(recipe, "test"),
        "run": tmp_path,
    }
    found = densekd.train(forms[form], tmp_path / "run", accelerator="cpu")
    assert found.run == tmp_path / "run"
    assert found.results["student"]["images"] == 3


def test_a_run_is_named_after_its_recipe(recipe: dict[str, Any], tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    recipe["training"]["steps"] = 1
    assert densekd.train(recipe, accelerator="cpu").run == Path("runs") / "tiny"
    with pytest.raises(UserError, match="exists"):
        densekd.train(recipe, accelerator="cpu")
    assert densekd.train("runs/tiny", existing="resume", accelerator="cpu").run == Path("runs") / "tiny"


def test_quiet_prints_nothing(recipe: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    recipe["training"]["steps"] = 1
    level, filters = logging.getLogger("lightning.pytorch").level, list(warnings.filters)
    densekd.train(recipe, tmp_path / "a", accelerator="cpu")
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("lightning.pytorch").level == level
    assert warnings.filters == filters
    densekd.train(recipe, tmp_path / "b", accelerator="cpu", quiet=False)
    assert "step 1/1" in capfd.readouterr().out


def test_what_is_wrong_is_said(recipe: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match=r"recipe:\n  data\.rot: unknown key"):
        densekd.train(recipe, overrides=["data.rot=x"])
    with pytest.raises(RecipeError, match="no shipped recipe"):
        densekd.train("quickstrat")


def test_what_is_no_recipe_or_no_choice_is_refused(recipe: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="not a int"):
        densekd.train(3)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="existing: one of refuse, resume, overwrite"):
        densekd.train(recipe, existing="yes")  # type: ignore[arg-type]
