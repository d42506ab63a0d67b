"""A training of so many seconds: steps by a measured step, exact like any other, decided once."""

import signal
from pathlib import Path
from typing import Any

import pytest
from training_runs import CPU, StopAt, assert_same, losses, parsed, run

from densekd.errors import RecipeError, UserError
from densekd.recipe import load_recipe
from densekd.run import warmup
from densekd.run.budget import steps_in
from densekd.run.preflight import check
from densekd.seal import read_document
from densekd.stopping import Interrupted


def in_seconds(recipe: dict[str, Any], seconds: float) -> dict[str, Any]:
    training = {key: value for key, value in recipe["training"].items() if key != "steps"}
    return recipe | {"training": training | {"seconds": seconds}}


def measure(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let the warm-up run, and return another time than it takes."""
    original = warmup.try_steps

    def tried(*arguments: Any) -> tuple[str, float]:
        return original(*arguments)[0], seconds

    monkeypatch.setattr(warmup, "try_steps", tried)


@pytest.mark.parametrize(("seconds", "per_step", "steps"), [(1, 0.17, 6), (1, 0.15, 7), (0.1, 1, 1), (900, 0.5, 1800)])
def test_steps_in_seconds(seconds: float, per_step: float, steps: int) -> None:
    assert steps_in(seconds, per_step) == steps


def test_exactly_one_of_steps_and_seconds(recipe: dict[str, Any]) -> None:
    both = recipe | {"training": {"steps": 1, "seconds": 1}}
    for content in (both, recipe | {"training": {"seed": 1}}):
        with pytest.raises(RecipeError, match="exactly one of steps and seconds"):
            parsed(content)


def test_seconds_are_steps_and_resume_is_exact(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe["training"]["steps"] = 6
    run(parsed(recipe), tmp_path / "steps")
    timed = parsed(in_seconds(recipe, 1))
    with monkeypatch.context() as patch:
        measure(patch, 0.17)
        seconds_per_step = warmup.seconds_per_step
        # The signal comes at a step of the training, not of the warm-up.
        stops: list[StopAt] = []

        def then_stop(*arguments: Any) -> float:
            found = seconds_per_step(*arguments)
            stops.append(StopAt(patch, 4, signal.SIGTERM))
            return found

        patch.setattr(warmup, "seconds_per_step", then_stop)
        with pytest.raises(Interrupted, match="Stopped at step 4 of 6"):
            run(timed, tmp_path / "seconds")
    # Another speed by now: what was decided stays.
    measure(monkeypatch, 0.01)
    run(timed, tmp_path / "seconds", "resume")
    assert_same(tmp_path / "steps", tmp_path / "seconds")
    assert losses(tmp_path / "steps") == losses(tmp_path / "seconds")
    training = load_recipe(tmp_path / "seconds" / "recipe.yaml").training
    assert (training.steps, training.seconds) == (6, None)
    budget = read_document(tmp_path / "seconds" / "environment.json")["budget"]
    assert budget == {"seconds": 1, "seconds_per_step": 0.17, "steps": 6}
    with pytest.raises(RecipeError, match=r"was started with training\.seconds 1, not with training\.seconds 2"):
        run(parsed(in_seconds(recipe, 2)), tmp_path / "seconds", "resume")
    with pytest.raises(RecipeError, match=r"was started with training\.steps, not with"):
        run(timed, tmp_path / "steps", "resume")


def test_processes_from_outside_are_refused(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="start every process at once"):
        run(parsed(in_seconds(recipe, 1)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_check_says_the_steps(recipe: dict[str, Any]) -> None:
    table = check(parsed(in_seconds(recipe, 1)), CPU.devices)
    time = dict(zip(map(str, table.columns[0].cells), table.columns[1].cells, strict=True))["time"]
    per_step, steps = float(str(time).split()[0]), int(str(time).split(" for ")[1].split()[0])
    assert steps == pytest.approx(1 / per_step, rel=0.1, abs=1)
