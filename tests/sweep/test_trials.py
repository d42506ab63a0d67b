"""Trials: the product of the axes, what each changes in the recipe, equal draws for every method."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_sweeps import tiny_sweep, write_sweep

from densekd.errors import RecipeError
from densekd.sweep.reading import load_sweep
from densekd.sweep.sections import RangeSpec
from densekd.sweep.trials import Trial, as_overrides, drawn_value, make_trials


@pytest.fixture
def trials_of(recipe: dict[str, Any], tmp_path: Path) -> Any:
    """Make the trials of a sweep's content."""

    def make(sweep: dict[str, Any]) -> dict[str, Trial]:
        path = write_sweep(tmp_path, recipe, sweep)
        return {trial.name: trial for trial in make_trials(load_sweep(path), path)}

    return make


def test_trials_are_the_product_of_the_axes(trials_of: Any) -> None:
    trials = trials_of(tiny_sweep())
    assert list(trials) == ["alone-seed0", "alone-seed1", "cwd-seed0", "cwd-seed1"]
    assert trials["alone-seed1"].recipe.teacher is None
    assert trials["alone-seed1"].recipe.distill == ()
    assert trials["cwd-seed1"].recipe.distill[0].method == "cwd"
    assert [one.recipe.training.seed for one in trials.values()] == [0, 1, 0, 1]
    # The recipe of a run folder says which trial it is.
    assert all(one.recipe.name == name for name, one in trials.items())
    assert trials["cwd-seed1"].point == {"method": "cwd", "seed": "1"}


def test_axes_change_keys_by_lists_mappings_and_texts(trials_of: Any) -> None:
    sweep = tiny_sweep()
    sweep["overrides"] = ["training.steps=4", {"optimizer": {"lr": 0.5, "momentum": 0.1}}]
    sweep["axes"] = {
        "student": {18: "student.options.channels=8", "wide": [{"student": {"options": {"channels": 24}}}]},
        "optimizer.lr": [0.01, 0.1],
    }
    trials = trials_of(sweep)
    assert list(trials) == ["18-lr0.01", "18-lr0.1", "wide-lr0.01", "wide-lr0.1"]
    last = trials["wide-lr0.1"].recipe
    # Later axes have the last word, and what a mapping does not name stays.
    assert (last.optimizer.lr, last.optimizer.momentum, last.training.steps) == (0.1, 0.1, 4)
    assert last.student.options == {"backbone": "resnet18_025", "channels": 24}
    assert trials["18-lr0.1"].recipe.student.options["channels"] == 8


def test_excluded_combinations_are_left_out(trials_of: Any) -> None:
    sweep = tiny_sweep() | {"exclude": [{"method": "alone", "seed": [1]}]}
    assert list(trials_of(sweep)) == ["alone-seed0", "cwd-seed0", "cwd-seed1"]
    with pytest.raises(RecipeError, match="exclude leaves no trial"):
        trials_of(tiny_sweep() | {"exclude": [{"method": ["alone", "cwd"]}]})


def test_a_wrong_recipe_is_found_before_any_training(trials_of: Any) -> None:
    sweep = tiny_sweep()
    sweep["axes"]["method"]["dist"] = "distill.0.mehtod=dist"
    with pytest.raises(RecipeError) as caught:
        trials_of(sweep)
    assert "trial 'dist-seed0' (method: dist, seed: 0)" in str(caught.value)
    assert "distill.0.mehtod: unknown key. Did you mean 'method'?" in str(caught.value)


def test_two_trials_of_one_name_are_refused(trials_of: Any) -> None:
    sweep = tiny_sweep()
    sweep["axes"] = {"a": {"x": [], "x-y": []}, "b": {"y-z": [], "z": []}}
    with pytest.raises(RecipeError, match="two trials are called 'x-y-z'"):
        trials_of(sweep)


def test_a_search_draws_the_same_for_every_method_and_seed(trials_of: Any) -> None:
    over = {"optimizer.lr": {"log_uniform": [1e-4, 1e-1]}, "data.batch_size": {"choice": [2, 4]}}
    sweep = tiny_sweep() | {"search": {"trials": 3, "seed": 7, "over": over}}
    sweep["search"]["only"] = {"method": {"cwd": {"distill.0.weight": {"uniform": [1, 5]}}}}
    trials = trials_of(sweep)
    assert len(trials) == 2 * 2 * 3
    rates = set()
    for draw in range(3):
        alone, cwd = trials[f"alone-seed0-draw{draw}"], trials[f"cwd-seed1-draw{draw}"]
        assert alone.recipe.optimizer.lr == cwd.recipe.optimizer.lr == alone.drawn["optimizer.lr"]
        assert alone.recipe.data.batch_size == cwd.recipe.data.batch_size
        assert cwd.recipe.distill[0].weight.value == cwd.drawn["distill.0.weight"]
        assert "distill.0.weight" not in alone.drawn
        rates.add(alone.recipe.optimizer.lr)
    assert len(rates) == 3
    # What was drawn once is drawn for ever: a sweep that is resumed elsewhere has the same trials.
    assert sorted(rates) == [0.0004667, 0.003581, 0.03472]


def test_a_mapping_becomes_one_override_for_each_value() -> None:
    mapping: dict[str, Any] = {"teacher": {"options": {}, "model": "fpn"}, "distill": [{"method": "cwd"}], "a": {}}
    assert as_overrides(["x=1", mapping]) == [
        "x=1",
        "teacher.options={}",
        'teacher.model="fpn"',
        'distill=[{"method": "cwd"}]',
        "a={}",
    ]


@given(st.floats(0, 1, exclude_max=True), st.floats(1e-6, 1e3), st.floats(1, 1e3))
def test_draws_stay_in_their_range(share: float, low: float, factor: float) -> None:
    high = low * factor
    for kind in ("uniform", "log_uniform"):
        value = drawn_value(RangeSpec.model_validate({kind: [low, high]}), share)
        assert low * 0.999 <= value <= high * 1.001
    assert drawn_value(RangeSpec(integer=(2, 5)), share) == 2 + int(share * 4)
    assert drawn_value(RangeSpec(choice=["a", "b"]), share) == "ab"[share >= 0.5]
