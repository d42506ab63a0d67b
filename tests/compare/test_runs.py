"""Runs as comparison reads them: what was measured differs between seeds, and keeps no group apart."""

import json
from pathlib import Path
from typing import Any

import yaml

from densekd.compare.groups import compare_runs
from densekd.compare.latency import with_milliseconds
from densekd.compare.runs import find_runs, read_run
from densekd.seal import write_document
from densekd.tasks import Segmentation


def scores(miou: float) -> dict[str, Any]:
    return {"miou": miou, "macc": miou, "aacc": miou, "iou": {"a": miou}, "images": 3, "parameters": 10}


def write_run(folder: Path, seed: int, steps: tuple[int, int], method: str = "cwd", **budget: Any) -> Path:
    """A finished run whose student alone was trained for the time of the distillation."""
    training = {"seed": seed, "steps": steps[0]}
    optimizer = {"lr": 0.1, "milestones": [steps[0]]}
    alone = {"name": "x", "data": {}, "student": {}, "training": training, "optimizer": optimizer}
    whole = alone | {"teacher": {}, "distill": [{"method": method}]}
    whole |= {"baseline": "equal-seconds", "baseline_steps": steps[1]}
    longer = {"training": training | {"steps": steps[1]}, "optimizer": optimizer | {"milestones": [steps[1]]}}
    for place, recipe in ((folder, whole), (folder / "baseline", alone | longer)):
        place.mkdir(parents=True)
        (place / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    metrics = {"task": "segmentation", "split": "val", "metrics": Segmentation.metrics.to_json()}
    write_document(folder / "results.json", metrics | {"student": scores(41 + seed), "baseline": scores(40)})
    write_document(folder / "environment.json", {"budget": budget})
    return folder


def test_steps_that_were_measured_keep_no_seeds_apart(tmp_path: Path) -> None:
    runs = []
    for seed, steps in ((0, (600, 930)), (1, (600, 934))):
        runs += read_run(write_run(tmp_path / f"cwd{seed}", seed, steps))
    runs += read_run(write_run(tmp_path / "pixel", 0, (600, 800), "pixel"))
    found = {group.title: [(run.seed, run.steps) for run in group.runs] for group in compare_runs(runs).groups}
    assert found == {
        "cwd": [(0, 600), (1, 600)],
        "pixel": [(0, 600)],
        "alone (training.steps=the seconds of cwd)": [(0, 930), (1, 934)],
        "alone (training.steps=the seconds of pixel)": [(0, 800)],
    }


def test_runs_of_so_many_seconds_are_a_group(tmp_path: Path) -> None:
    runs = []
    for seed, steps in ((0, (600, 930)), (1, (590, 934))):
        runs += read_run(write_run(tmp_path / f"cwd{seed}", seed, steps, seconds=900))
    assert [len(group.runs) for group in compare_runs(runs).groups] == [2, 2]


def test_runs_are_found_by_any_name(tmp_path: Path) -> None:
    """As 'densekd init' calls them: teacher and student."""
    for name in ("teacher", "student", "group/cwd"):
        write_run(tmp_path / name, 0, (600, 930))
    # What a run holds is no run of its own, and neither is a package.
    (tmp_path / "checkpoints").mkdir()
    found = find_runs([str(tmp_path)])
    assert found == [tmp_path / "group/cwd", tmp_path / "student", tmp_path / "teacher"]
    assert find_runs([str(tmp_path / "student")]) == [tmp_path / "student"]
    # A run called student is itself, and its package stands for it.
    for model, expected in (("student", 4.0), ("student/student", 4.0), ("student/baseline", None)):
        row = {"model": str(tmp_path / model), "parameters": 10, "median_ms": 4.0}
        (tmp_path / "latency.json").write_text(json.dumps([row]))
        student, alone = with_milliseconds(read_run(tmp_path / "student"), tmp_path / "latency.json")
        assert (student.milliseconds, alone.milliseconds) == (expected, None if expected else 4.0)
