"""CamVid's folds by drive: what is trained and averaged."""

import json
from pathlib import Path

import pytest
import yaml
from camvid import DRIVES, ROWS_OF_DRIVES, STUDENTS, leave_out, over_drives, run_drives
from trainings import Bench, Row, table

from densekd.recipe import load_recipe

RECIPE = Path(__file__).parents[2] / "recipes" / "camvid-drives-r18quarter-cwd.yaml"


def row(values: list[float], seconds: float) -> dict[str, object]:
    return {"title": "alone", "miou": values, "mean": sum(values) / len(values), "seconds_per_step": seconds}


def test_drives_count_alike_and_seeds_are_averaged_over_them() -> None:
    folds = {"x": {"alone": row([10.0, 20.0], 0.1)}, "y": {"alone": row([30.0, 50.0], 0.2)}}
    rows = over_drives(folds)
    assert rows["alone"]["miou"] == [20.0, 35.0]
    assert rows["alone"]["mean"] == 27.5
    assert rows["alone"]["std"] == pytest.approx(112.5**0.5)
    printed = table({"rows": rows, "drives": folds}, "miou", "mIoU").splitlines()
    assert printed[0] == "| run | mIoU % (mean) | std | seeds | s / step | x | y |"
    assert printed[2] == "| alone | **27.50** | 10.61 | 20.00 / 35.00 | 0.150 | 15.00 | 40.00 |"


def test_the_override_is_what_the_recipe_says() -> None:
    given = yaml.safe_load(leave_out("0006R0").partition("=")[2])
    assert load_recipe(RECIPE).data.leave_out is not None
    assert load_recipe(RECIPE, [leave_out("0006R0")]) == load_recipe(RECIPE)
    assert given["val"] == ["0006R0"]


def test_teacher_and_students_of_a_fold_leave_the_same_drive_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: dict[str, tuple[str, ...]] = {}

    def train(bench: Bench, name: str, row: Row, *more: str) -> Path:
        started[name] = (*row.overrides, *more)
        folder = bench.runs / name
        folder.mkdir()
        (folder / "results.json").write_text(json.dumps({"student": {"miou": 50.0}}))
        (folder / "metrics.csv").write_text("step,seconds_per_step\n1,0.5\n")
        (folder / "environment.json").write_text(json.dumps({"started": "", "machine": {}, "versions": {}}))
        return folder

    monkeypatch.setattr(Bench, "train", train)
    found = run_drives(Bench(tmp_path, tmp_path, "miou"), 2, 2)
    assert len(started) == len(DRIVES) * (2 + 2 * len(ROWS_OF_DRIVES))
    for name, overrides in started.items():
        assert [one for one in overrides if one.startswith("data.leave_out=")] == [leave_out(name.split("-")[1])]
    teacher = tmp_path / "camvid-0016E5-teacher-balanced"
    assert f"teacher.checkpoint={teacher}" in started["camvid-0016E5-cwd-t1-seed1"]
    assert set(found["rows"]) == {"teacher", *ROWS_OF_DRIVES}
    assert {*ROWS_OF_DRIVES} <= {*STUDENTS}
