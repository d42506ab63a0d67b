"""Study in equal seconds: its steps take as long as it says, drives count alike, seeds are paired."""

import json
from pathlib import Path

import pytest
from equal_seconds import BASELINE, CAMVID, STUDIES, Study, leave_out, place_of, row, table

from densekd.recipe import load_recipe


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_method_gets_the_seconds_of_the_student_alone(study: Study) -> None:
    measured = json.loads(study.results.read_text(encoding="utf-8"))["steps"]
    trials = {trial.point["method"]: trial for trial in study.trials()}
    assert set(measured) == set(trials) - {"alone-600", "cwd-cached"}
    budget = trials[BASELINE].recipe.training.length
    for method, found in measured.items():
        # Steps are whole, and those of CIRKD few.
        assert trials[method].recipe.training.length * found["ratio"] == pytest.approx(budget, rel=0.01)


def test_a_drive_is_seen_by_nobody() -> None:
    for trial in CAMVID.trials():
        drive = trial.point["drive"]
        assert trial.recipe.data.leave_out is not None
        assert trial.recipe.data.leave_out.val == (drive,)
        if trial.recipe.teacher is not None:
            assert Path(str(trial.recipe.teacher.checkpoint)).name == f"equal-seconds-teacher-{drive}"


def test_the_teachers_override_is_what_the_recipe_says() -> None:
    recipe = Path(__file__).parents[2] / "recipes" / "camvid-drives-teacher.yaml"
    assert load_recipe(recipe).data.leave_out is not None
    assert load_recipe(recipe, [leave_out("0006R0")]) == load_recipe(recipe)


def test_drives_count_alike_and_seeds_are_paired() -> None:
    alone = {"x": {"0": 10.0, "1": 20.0, "2": 0.0}, "y": {"0": 30.0, "1": 50.0}}
    taught = {"x": {"0": 13.0, "1": 22.0, "2": 9.0}, "y": {"0": 31.0, "1": 52.0}}
    found = row(taught, alone)
    # Seed 2 lacks drive y: it is no part of the mean. Differences of the seeds: 2 and 2.
    assert found["seeds"] == ["0", "1"]
    assert found["mean"] == 29.5
    assert found["difference"] == 2.0
    assert found["interval"] == [2.0, 2.0]
    assert found["certain"]


def test_what_cannot_be_told_is_not_told() -> None:
    alone = {"x": {"0": 10.0, "1": 10.0}}
    rows = {"alone": row(alone, alone), "cwd": row({"x": {"0": 11.0, "1": 13.0}}, alone)}
    rows["hwd"] = row({"x": {"0": 9.0}}, alone)
    lines = table({"teachers": {"x": 20.0, "y": None}, "rows": rows}, "miou").splitlines()
    assert lines[0] == "| method | seeds | mIoU | against alone | 95 % | | x |"
    # Two seeds: 12.7 times the deviation of 1.41, by the root of 2.
    assert lines[2] == "| cwd | 2 | 12.00 | +2.00 | -10.71 to +14.71 | not distinguishable | 12.00 |"
    assert lines[3] == "| alone | 2 | 10.00 | – | – | baseline | 10.00 |"
    assert lines[4] == "| hwd | 1 | 9.00 | -1.00 | – | one seed, cannot be told | 9.00 |"


@pytest.mark.parametrize("study", STUDIES.values(), ids=STUDIES)
def test_every_axis_is_as_long_as_the_study_says(study: Study) -> None:
    assert study.spec().axes["seed"] == [0, 1, 2]
    assert {place_of(trial) for trial in CAMVID.trials()} == {"0016E5", "0006R0", "0001TP"}
