"""The folder of a sweep: what is in it stays, what is new is added, what was changed is refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_sweeps import filled, tiny_sweep, write_sweep

from densekd.errors import RecipeError, UserError
from densekd.sweep.queue import open_queue


def test_a_queue_holds_the_recipe_of_each_trial(recipe: dict[str, Any], tmp_path: Path) -> None:
    file = write_sweep(tmp_path, recipe, tiny_sweep())
    queue = filled(file, tmp_path / "out")
    assert [queue.state(entry.name) for entry in queue.entries] == ["waiting"] * 4
    again = open_queue(tmp_path / "out")
    assert again.entries == queue.entries
    assert again.recipe("cwd-seed1").training.seed == 1
    assert again.baseline == {"method": "alone"}
    assert again.steps("cwd-seed1") == (0, 6)


def test_new_trials_are_added_and_changed_ones_refused(recipe: dict[str, Any], tmp_path: Path) -> None:
    sweep = tiny_sweep()
    filled(write_sweep(tmp_path, recipe, sweep), tmp_path / "out")
    sweep["axes"]["seed"] = [0, 1, 2]
    assert len(filled(write_sweep(tmp_path, recipe, sweep), tmp_path / "out").entries) == 6
    sweep["axes"]["method"]["cwd"] = ["distill.0.weight=4"]
    with pytest.raises(RecipeError) as caught:
        filled(write_sweep(tmp_path, recipe, sweep), tmp_path / "out")
    assert "cwd-seed0: distill.0.weight.value" in str(caught.value)
    assert "alone-seed0" not in str(caught.value)
    # What changes no training is no change.
    sweep = tiny_sweep() | {"overrides": ["training.log_every=1"]}
    assert filled(write_sweep(tmp_path, recipe, sweep), tmp_path / "out").recipe("cwd-seed0").training.log_every == 1


def test_a_failure_is_kept_until_it_is_forgiven(recipe: dict[str, Any], tmp_path: Path) -> None:
    queue = filled(write_sweep(tmp_path, recipe, tiny_sweep()), tmp_path / "out")
    queue.fail("cwd-seed0", "no room")
    assert queue.state("cwd-seed0") == "failed"
    assert queue.failure("cwd-seed0") == "no room"
    taken = [queue.take() for _ in range(4)]
    assert [one[0].name if one else None for one in taken] == ["alone-seed0", "alone-seed1", "cwd-seed1", None]
    assert queue.forgive() == ["cwd-seed0"]
    assert queue.state("cwd-seed0") == "waiting"
    for one in taken[:3]:
        assert one is not None
        one[1].release()


def test_a_folder_of_something_else_is_refused(recipe: dict[str, Any], tmp_path: Path) -> None:
    file = write_sweep(tmp_path, recipe, tiny_sweep())
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("")
    with pytest.raises(UserError, match="holds something else than a sweep"):
        filled(file, tmp_path / "mine")
    with pytest.raises(UserError, match="is a file"):
        filled(file, file)
    with pytest.raises(UserError, match="no sweep was started"):
        open_queue(tmp_path / "mine")


def test_a_damaged_recipe_is_found(recipe: dict[str, Any], tmp_path: Path) -> None:
    file = write_sweep(tmp_path, recipe, tiny_sweep())
    filled(file, tmp_path / "out")
    path = tmp_path / "out" / "recipes" / "cwd-seed0.yaml"
    content = yaml.safe_load(path.read_text())
    content["training"]["steps"] = 7
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(RecipeError, match=r"cwd-seed0: training\.steps"):
        filled(file, tmp_path / "out")
