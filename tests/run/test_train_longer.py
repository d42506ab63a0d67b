"""A finished run trained for longer, and fine-tuned for other classes: one line each, as documented."""

import json
from pathlib import Path
from typing import Any

import torch
from training_runs import weights
from typer.testing import CliRunner

import densekd
from densekd.cli.app import app
from densekd.recipe import dump_recipe, parse_recipe


def densekd_train(*arguments: Any) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["train", *map(str, arguments), "--accelerator", "cpu"])
    assert result.exit_code == 0, result.output + str(result.exception)
    return result.output


def test_longer_and_for_other_classes(recipe: dict[str, Any], data_root: Path, tmp_path: Path) -> None:
    first, longer, tuned = (tmp_path / name for name in ("first", "longer", "tuned"))
    file = tmp_path / "recipe.yaml"
    recipe["training"]["steps"] = 2
    file.write_text(dump_recipe(parse_recipe(recipe, "test")))
    densekd_train(file, "--run", first)
    # A learning rate of nothing shows where the second training begins.
    frozen = ["optimizer.lr=1e-12", "optimizer.weight_decay=0"]
    line = [first / "recipe.yaml", f"student.checkpoint={first}", "training.steps=3", "--run", longer]
    densekd_train(*line, *frozen)
    assert json.loads((longer / "results.json").read_text())["student"]["images"] == 3
    before, after = weights(first), weights(longer)
    learnt = [key for key in before if key.endswith("weight")]
    assert all(torch.allclose(before[key], after[key], atol=1e-6) for key in learnt)
    # Other classes: one keeps its name.
    other = json.loads((data_root / "classes.json").read_text())
    other["names"] = [other["names"][0], "new", "newer", "newest"]
    own = tmp_path / "own"
    own.mkdir()
    for name in ("images", "labels"):
        (own / name).symlink_to(data_root / name)
    (own / "classes.json").write_text(json.dumps(other))
    line = [first / "recipe.yaml", f"student.checkpoint={first}", f"data.root={own}", "--run", tuned]
    output = densekd_train(*line, *frozen)
    assert "fine-tuned" in output
    assert "those of new, newer, newest begin anew" in output
    after = weights(tuned)
    assert torch.allclose(after["head.classifier.weight"][0], before["head.classifier.weight"][0], atol=1e-6)
    assert after["head.classifier.weight"].shape[0] == 4
    assert densekd.load(tuned) is not None
