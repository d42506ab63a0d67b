"""The student alone for the time of the distillation: steps by measured steps, exact after any stop."""

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from training_runs import CPU, StopAt, assert_same, losses, parsed, run

from densekd.compare.runs import read_run
from densekd.errors import RecipeError, UserError
from densekd.recipe import Recipe, load_recipe
from densekd.run import warmup
from densekd.run.baseline import find_baselines, student_alone
from densekd.run.budget import budget_of, steps_alone
from densekd.run.contents import foreign_files
from densekd.run.folder import RunFolder
from densekd.run.preflight import check
from densekd.seal import read_document
from densekd.stopping import Interrupted

_SECONDS = st.floats(1e-4, 1e3)
_ROUNDS = st.lists(st.tuples(_SECONDS, _SECONDS), min_size=1, max_size=9)
_STEPS = st.integers(1, 10**6)


@pytest.fixture
def distilled(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe whose student alone gets the time of the distillation."""
    recipe["teacher"] = recipe["student"] | {"checkpoint": "untrained"}
    recipe["distill"] = [{"method": "cwd", "weight": 1}]
    recipe["optimizer"] = {"lr": 0.01, "milestones": [2, 3]}
    recipe["training"] |= {"steps": 4, "log_every": 1, "checkpoint_every": 2}
    return recipe | {"baseline": "equal-seconds"}


def take_turns(monkeypatch: pytest.MonkeyPatch, rounds: Sequence[Sequence[float]]) -> None:
    """Let a short warm-up run, and return other times than it takes."""
    original = warmup.seconds_in_turns
    monkeypatch.setattr(warmup, "_ROUNDS", 1)
    monkeypatch.setattr(warmup, "_STEPS_OF_A_TURN", 2)

    def measured(*arguments: Any) -> Sequence[Sequence[float]]:
        assert len(original(*arguments)) == 1
        return rounds

    monkeypatch.setattr(warmup, "seconds_in_turns", measured)


@given(_STEPS, _ROUNDS)
def test_the_student_alone_never_gets_fewer_steps(steps: int, rounds: list[tuple[float, float]]) -> None:
    alone = steps_alone(steps, rounds)
    ratios = sorted(whole / only for whole, only in rounds)
    assert alone.steps >= steps
    assert max(1.0, ratios[0]) <= alone.ratio <= max(1.0, ratios[-1])
    assert alone.steps == min(round(steps * alone.ratio), 2**31 - 1)


@given(_STEPS, _SECONDS, st.floats(1, 50))
def test_both_take_the_same_time(steps: int, only: float, factor: float) -> None:
    whole = only * factor
    alone = steps_alone(steps, [(whole, only)] * 3)
    assert abs(alone.steps * only - steps * whole) <= 0.5001 * only + 1e-9 * steps * whole


@given(_STEPS, _SECONDS, st.floats(1, 50), st.lists(st.floats(0.01, 100), min_size=1, max_size=9))
def test_load_that_hits_both_of_a_round_changes_nothing(
    steps: int, only: float, factor: float, loads: list[float]
) -> None:
    alone = steps_alone(steps, [(load * only * factor, load * only) for load in loads])
    assert alone.ratio == pytest.approx(factor)
    assert alone.spread == pytest.approx((factor, factor))


def test_one_odd_round_changes_nothing() -> None:
    usual = [(0.3, 0.2)] * 3
    assert steps_alone(600, [*usual, (9.0, 0.2)]).steps == steps_alone(600, [*usual, (0.3, 4.0)]).steps == 900


def test_seconds_of_both(distilled: dict[str, Any]) -> None:
    training = {key: value for key, value in distilled["training"].items() if key != "steps"}
    budget = budget_of(parsed(distilled | {"training": training | {"seconds": 30}}), [(0.3, 0.2)])
    assert budget.alone is not None
    assert (budget.steps, budget.alone.steps) == (100, 150)
    assert "so 100 steps" in str(budget)
    assert "150 steps alone take as long as 100 of the distillation" in str(budget)


def test_the_schedule_covers_the_steps_of_the_student_alone(distilled: dict[str, Any]) -> None:
    recipe = parsed(distilled | {"baseline_steps": 8, "optimizer": {"milestones": [2, 3], "warmup": 2}})
    alone = student_alone(recipe)
    assert alone.training.steps == 8
    assert alone.optimizer.milestones == (4, 6)
    assert alone.optimizer.warmup == 2
    assert (alone.teacher, alone.distill, alone.baseline, alone.baseline_steps) == (None, (), None, None)
    # Without steps of its own nothing changes but the teacher.
    plain = parsed(distilled | {"baseline": "train"})
    assert student_alone(plain).optimizer == plain.optimizer


def test_stopped_in_the_baseline_and_resumed_is_exact(
    distilled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What was measured and stopped must equal what was asked for in steps.
    whole = tmp_path / "whole"
    run(parsed(distilled | {"baseline_steps": 7}), whole)
    folder = tmp_path / "seconds"
    with monkeypatch.context() as patch:
        take_turns(patch, [(0.34, 0.2)])
        measured = warmup.seconds_in_turns

        def then_stop(*arguments: Any) -> Sequence[Sequence[float]]:
            found = measured(*arguments)
            # The signal comes at a step that only the longer baseline has, not in the warm-up.
            StopAt(patch, 5, signal.SIGTERM)
            return found

        patch.setattr(warmup, "seconds_in_turns", then_stop)
        with pytest.raises(Interrupted, match="Stopped at step 5 of 7"):
            run(parsed(distilled), folder)
    assert not (folder / "metrics.csv").exists()
    # Another speed by now: what was decided stays.
    take_turns(monkeypatch, [(9.0, 0.2)])
    results = run(parsed(distilled), folder, "resume")
    for part in ("", "baseline"):
        assert_same(whole / part, folder / part)
        assert losses(whole / part) == losses(folder / part)
    # The alone training is that of its own recipe, schedule included.
    run(student_alone(parsed(distilled | {"baseline_steps": 7})), tmp_path / "alone")
    assert_same(tmp_path / "alone", folder / "baseline")
    assert load_recipe(folder / "recipe.yaml").baseline_steps == 7
    assert load_recipe(folder / "baseline" / "recipe.yaml").training.steps == 7
    alone = {"seconds_per_step": 0.2, "ratio": pytest.approx(1.7), "steps": 7, "spread": pytest.approx([1.7, 1.7])}
    budget = {"seconds_per_step": 0.34, "steps": 4, "alone": alone}
    assert read_document(folder / "environment.json")["budget"] == budget
    assert results["budget"] == {"steps": 4, "baseline_steps": 7, "equal_seconds": True, "measured": budget}
    report = (folder / "report.html").read_text()
    assert "At equal steps: not measured (baseline: both); at equal seconds: " in report
    # A baseline of another length is none of this run's.
    with pytest.raises(RecipeError, match="these keys differ: baseline_steps"):
        run(parsed(distilled | {"baseline_steps": 9}), folder, "resume")


def test_one_of_as_many_steps_and_one_of_as_many_seconds(
    distilled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_turns(monkeypatch, [(0.34, 0.2)])
    recipe, folder = parsed(distilled | {"baseline": "both"}), tmp_path / "run"
    with monkeypatch.context() as patch:
        measured = warmup.seconds_in_turns

        def then_stop(*arguments: Any) -> Sequence[Sequence[float]]:
            found = measured(*arguments)
            # A step that only the longer one of the two has.
            StopAt(patch, 6, signal.SIGTERM)
            return found

        patch.setattr(warmup, "seconds_in_turns", then_stop)
        with pytest.raises(Interrupted, match=f"Stopped at step 6 of 7; .*: densekd train {folder} --resume"):
            run(recipe, folder)
    results = run(recipe, folder, "resume")
    for place, steps in (("baseline", 4), ("baseline-seconds", 7)):
        alone = parsed(distilled | {"baseline_steps": steps})
        run(student_alone(alone), tmp_path / place)
        assert_same(tmp_path / place, folder / place)
        assert load_recipe(folder / place / "recipe.yaml").training.steps == steps
    lengths = {key: value for key, value in results["budget"].items() if key != "measured"}
    assert lengths == {"steps": 4, "baseline_steps": 4, "baseline_seconds_steps": 7, "equal_seconds": False}
    assert results["baseline_seconds"]["miou"] is not None
    report = (folder / "report.html").read_text()
    assert "That is 4 steps against 4 and 7 alone." in report
    assert "not measured" not in report
    assert foreign_files(folder) == []
    found = {run.folder.name: run.steps for run in read_run(folder)}
    assert found == {"run": 4, "baseline": 4, "baseline-seconds": 7}


def test_a_finished_baseline_of_another_length_is_not_reused(distilled: dict[str, Any], tmp_path: Path) -> None:
    recipe = parsed(distilled | {"baseline_steps": 2, "training": distilled["training"] | {"steps": 1}})
    run(student_alone(recipe), tmp_path / "baseline")
    folder = RunFolder(tmp_path)
    assert [found.recipe for found in find_baselines(recipe, folder).values()] == [None]
    longer = recipe.model_copy(update={"baseline_steps": 3})
    with pytest.raises(RecipeError, match="was trained for 2 steps, and 3 are asked for now"):
        find_baselines(longer, folder)


def test_a_folder_of_another_run_says_its_steps(distilled: dict[str, Any], tmp_path: Path) -> None:
    recipe = parsed(distilled | {"baseline_steps": 2})
    run(student_alone(recipe), tmp_path / "alone")
    named = parsed(distilled | {"baseline": str(tmp_path / "alone")})
    results = run(named, tmp_path / "run")
    assert results["budget"] == {"steps": 4, "baseline_steps": 2, "equal_seconds": False}


def test_what_cannot_be_measured_is_refused(
    distilled: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = distilled | {"teacher": distilled["teacher"] | {"cache": {"folder": str(tmp_path / "cache"), "views": 1}}}
    with pytest.raises(RecipeError, match=r"baseline: equal-seconds: .*teacher\.cache.* write baseline_steps by hand"):
        run(parsed(cached), tmp_path / "run")
    # Steps that a person wrote leave nothing to measure.
    assert parsed(cached).lacks_length
    assert not parsed(cached | {"baseline_steps": 7}).lacks_length
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"baseline: equal-seconds: torchrun and srun .* Write baseline_steps"):
        run(parsed(distilled), tmp_path / "run")
    assert not (tmp_path / "run").exists()
    nothing = {key: value for key, value in distilled.items() if key not in ("teacher", "distill")}
    with pytest.raises(RecipeError, match="there is nothing under distill"):
        parsed(nothing)
    with pytest.raises(RecipeError, match="baseline_steps needs baseline: train, equal-seconds or both"):
        parsed(nothing | {"baseline": None, "baseline_steps": 3})


def test_turns_go_there_and_back(distilled: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[bool] = []

    def try_steps(recipe: Recipe, *arguments: Any) -> tuple[str, float]:
        tried.append(recipe.teacher is not None)
        return "", 0.3 if recipe.teacher is not None else 0.2

    monkeypatch.setattr(warmup, "try_steps", try_steps)
    recipe = parsed(distilled)
    rounds = warmup.seconds_in_turns((recipe, student_alone(recipe)), CPU)
    assert rounds == [[0.3, 0.2]] * len(rounds)
    assert tried == [True, False, False, True] * (len(rounds) // 2)


@pytest.mark.parametrize("change", [{}, {"quantise": "int8"}, {"accumulate": 2, "precision": "bf16"}])
def test_one_build_takes_turn_after_turn(
    distilled: dict[str, Any], change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warmup, "_ROUNDS", 2)
    monkeypatch.setattr(warmup, "_STEPS_OF_A_TURN", 2)
    distilled["training"] |= change
    recipe = parsed(distilled)
    rounds = warmup.seconds_in_turns((recipe, student_alone(recipe)), CPU)
    assert [len(found) for found in rounds] == [2, 2]
    assert min(map(min, rounds)) > 0


def test_check_says_the_steps_of_the_student_alone(distilled: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    take_turns(monkeypatch, [(0.34, 0.2)])
    table = check(parsed(distilled), CPU.devices)
    found = dict(zip(map(str, table.columns[0].cells), table.columns[1].cells, strict=True))["student alone"]
    assert found == "7 steps of 0.200 s take as long as 4 of 0.340 s, in turns"
