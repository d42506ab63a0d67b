"""A report says what its files say; nothing is guessed from the keys of scores."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from densekd.errors import UserError
from densekd.metric_names import MetricName, MetricNames
from densekd.report import write_report

METERS = MetricNames(
    (MetricName("rmse", "RMSE", "m", "lower", 2), MetricName("absrel", "AbsRel", "", "lower", 3)),
    ("rmse", "absrel"),
)
MINUS = "\N{MINUS SIGN}"


def plain(html: str) -> str:
    body = re.sub(r"<style>.*?</style>", "", html, flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def report(folder: Path, **document: Any) -> str:
    (folder / "results.json").write_text(json.dumps(document))
    return plain(write_report(folder).read_text(encoding="utf-8"))


def test_a_task_that_nobody_knows_is_described_by_its_results(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss,val/rmse\n1,2,3\n2,1,2.5\n")
    text = report(
        tmp_path,
        task="elsewhere.module:Task",
        metrics=METERS.to_json(),
        student={"rmse": 2.5, "absrel": 0.125, "images": 3},
        baseline={"rmse": 3.0, "absrel": 0.25, "images": 3},
        teacher={"rmse": 2.0, "absrel": -0.0625, "images": 3},
    )
    assert (
        "The distilled student scores 2.50 m RMSE: 0.50 m better than the same student trained alone, and recovers "
        "50 % of the gap to the teacher."
    ) in text
    assert f"distilled 2.50 {MINUS}0.50 0.125 {MINUS}0.125" in text
    assert "RMSE, m ↓" in text
    assert "↓: lower is better." in text
    assert "Validation RMSE" in text
    assert "Classes" not in text


@pytest.mark.parametrize(
    ("student", "baseline", "words"),
    [
        (
            3.5,
            3.0,
            "0.50 m worse than the same student trained alone. The gap to the teacher grew from 1.00 to 1.5",
        ),
        (3.004, 3.0, "level with the same student trained alone, and recovers none of the gap to the teacher."),
        (1.5, 3.0, "1.50 m better than the same student trained alone, and 0.50 m better than the teacher."),
        (1.5, 1.75, "0.25 m better than the same student trained alone. The teacher, at 2.00 m, is no better than"),
    ],
)
def test_lower_is_better_in_every_sentence(tmp_path: Path, student: float, baseline: float, words: str) -> None:
    scores = {"student": {"rmse": student}, "baseline": {"rmse": baseline}, "teacher": {"rmse": 2.0}}
    assert words in report(tmp_path, metrics=METERS.to_json(), **scores)


def test_a_known_task_need_not_be_described(tmp_path: Path) -> None:
    assert "scores 41.5 % AP." in report(tmp_path, task="detection", student={"ap": 41.5})


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("student/config.json", '{"task": "detection"}'),
        ("recipe.yaml", "task: {kind: detection}"),
    ],
)
def test_older_results_are_read_by_what_their_run_says(tmp_path: Path, file: str, text: str) -> None:
    (tmp_path / "student").mkdir()
    (tmp_path / file).write_text(text)
    assert "scores 41.5 % AP." in report(tmp_path, student={"ap": 41.5})


@pytest.mark.parametrize("recipe", ["", "task: {kind: none}", "task: {", "[]"])
def test_results_of_an_unknown_task_are_refused(tmp_path: Path, recipe: str) -> None:
    (tmp_path / "recipe.yaml").write_text(recipe)
    if not recipe:
        (tmp_path / "recipe.yaml").unlink()
    with pytest.raises(UserError, match=r"'task' is missing, and no recipe\.yaml or student/config\.json beside"):
        report(tmp_path, student={"ap": 41.5, "miou": 30})


def test_an_unfinished_run_of_an_unknown_task(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,val/ap\n1,2\n")
    text = plain(write_report(tmp_path).read_text(encoding="utf-8"))
    assert "The student has not been evaluated yet." in text
    assert "Validation: ap" in text
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(UserError, match=r"metrics\.json: does not describe the columns of metrics\.csv"):
        write_report(tmp_path)


def test_drawings_are_shown_from_the_run_folder_alone(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    drawing = '<svg xmlns="http://www.w3.org/2000/svg"/>'
    (run / "confusion.svg").write_text(drawing)
    (tmp_path / "secret.svg").write_text(drawing)
    names = ("confusion.svg", "../secret.svg", "missing.svg")
    figures = [{"file": name, "title": f"title of {name}", "description": "drawn"} for name in names]
    text = report(run, task="segmentation", student={"miou": 4}, figures=figures)
    assert "title of confusion.svg" in text
    assert "secret" not in text
    assert "missing" not in text
