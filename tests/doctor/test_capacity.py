"""Scores on images that a student learnt from: by heart, or not even those."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from training_runs import parsed

from densekd.doctor.capacity import examine_capacity
from densekd.doctor.case import open_case
from densekd.tasks.segmentation.task import Segmentation


def test_a_student_that_was_really_trained_is_scored(healthy: dict[str, Any], trained: tuple[Path, Path]) -> None:
    case = replace(open_case(parsed(healthy), None), student=trained[1] / "student")
    assert examine_capacity(case) == []


@pytest.mark.parametrize(
    ("train", "val", "teacher", "names"),
    [
        (90.0, 80.0, 95.0, []),
        (90.0, 60.0, 95.0, ["student-overfits"]),
        # As good as it is on other images, and far from what can be learnt.
        (60.0, 58.0, 90.0, ["student-saturated"]),
        (60.0, 40.0, 90.0, []),
        (60.0, 58.0, 70.0, []),
    ],
)
def test_scores_are_judged(
    healthy: dict[str, Any],
    trained: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
    train: float,
    val: float,
    teacher: float,
    names: list[str],
) -> None:
    case = replace(open_case(parsed(healthy), None), student=trained[1] / "student")
    learnt = {item.image for item in case.built.training.files.items}

    def scores(task: Any, model: Any, files: Any, resize: Any, workers: int = 0) -> dict[str, float]:
        if model is case.built.scored_teacher:
            return {"miou": teacher}
        return {"miou": train if files.items[0].image in learnt else val}

    monkeypatch.setattr(Segmentation, "scores", scores)
    found = examine_capacity(case)
    assert [finding.name for finding in found] == names
    if names:
        assert found[0].numbers["train"] == train
