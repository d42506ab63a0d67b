"""CamVid benchmark on a CPU: teacher, students alone (three seeds) and distilled by many methods (one).

    python benchmarks/camvid.py --data data/camvid

Every row of the table is a recipe with overrides, trained by ``densekd train`` in a process of its
own with one thread, two at a time. Finished runs are kept, so an interrupted benchmark goes on
where it stopped. Writes ``benchmarks/results/camvid-cpu.json``; ``--table`` prints it as Markdown.

    python benchmarks/camvid.py --data data/camvid --drives

trains on two of the three drives and scores on the third, for each of them, teacher included:
``benchmarks/results/camvid-drives-cpu.json``. The official validation split is the rest of a drive
that more than half of the training images show; these folds share nothing.
"""

import statistics
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from trainings import Bench, Row, described, main, scores

CWD = "camvid-r18quarter-cwd"
FEATURES = "student: pre_logits, teacher: pre_logits"


# The recipe trains a baseline beside the student; here that is a row of its own.
ALONE = "baseline=null"


def _method(title: str, term: str) -> Row:
    """Make a row of the CWD recipe with another term in its place; one seed, because there are many."""
    return Row(title, CWD, (f"distill=[{{{term}}}]", ALONE), needs_teacher=True, seeds=1)


STUDENTS = {
    "alone-600": Row("student alone, 600 steps", "camvid-r18quarter"),
    "alone-1200": Row("student alone, 1200 steps", "camvid-r18quarter", ("training.steps=1200",)),
    "weighted-600": Row("student alone, weighted cross-entropy", "camvid-r18quarter", ("task.class_weights=balanced",)),
    "cwd-t1": Row("CWD, T 1, weight 3", CWD, (ALONE,), needs_teacher=True),
    "cwd-reference": Row(
        "CWD, T 1, weight 3: float32, plain formulas",
        CWD,
        ("kernels=reference", "training.precision=32", ALONE),
        needs_teacher=True,
    ),
    "cwd-t4": Row("CWD, T 4, weight 3", CWD, ("distill.0.options.temperature=4", ALONE), needs_teacher=True),
    "pixel": Row("pixel KD, T 1, weight 1", "camvid-r18quarter-pixel", (ALONE,), needs_teacher=True),
    "weighted-cwd-t1": Row(
        "CWD, T 1, weighted cross-entropy", CWD, ("task.class_weights=balanced", ALONE), needs_teacher=True
    ),
    "cwd-untrained": Row(
        "control: CWD from an untrained teacher",
        CWD,
        ("teacher={model: fpn, options: {backbone: resnet18, channels: 128}, checkpoint: untrained}", ALONE),
    ),
    "cirkd_memory": _method("CIRKD memory, weights 0.1", f"method: cirkd_memory, weight: 1, {FEATURES}"),
    "cgd": _method(
        "CGD, groups of 3, T 2, weight 3",
        "method: cgd, weight: 3, resize_to: label, options: {temperature: 2, group_size: 3, scale: none}",
    ),
    "hwd": _method(
        "HWD, T 4, weight 3",
        "method: hwd, weight: 3, options: {values: activations, pixel_division: N, shift: 1.0}",
    ),
    "dist": _method("DIST, T 1, weight 1", "method: dist, weight: 1"),
    "at": _method("AT, weight 10000", f"method: at, weight: 10000, {FEATURES}"),
    "pairwise": _method("SKD pairwise, weight 10", f"method: pairwise, weight: 10, {FEATURES}"),
    "ifvd": _method("IFVD, weight 20", f"method: ifvd, weight: 20, {FEATURES}"),
    "mgd": _method(
        "MGD, masked 0.75, weight 2e-5", f"method: mgd, weight: 2e-5, {FEATURES}, options: {{masked: 0.75}}"
    ),
    "fitnet": _method("FitNet, 1x1 adapter, weight 10", f"method: fitnet, weight: 10, adapter: conv, {FEATURES}"),
}


# Drives, by the beginning of their frames' names, and the rows that are trained once for each.
DRIVES = ("0001TP", "0006R0", "0016E5")
ROWS_OF_DRIVES = ("alone-600", "alone-1200", "weighted-600", "cwd-t1", "pixel")


def teacher_of(bench: Bench, prefix: str = "camvid", overrides: tuple[str, ...] = ()) -> Path:
    """Train the two parts of the teacher."""
    first = bench.train(f"{prefix}-teacher", Row("", "camvid-teacher", overrides))
    second = Row("", "camvid-teacher-balanced", (*overrides, f"student.checkpoint={first}"))
    return bench.train(f"{prefix}-teacher-balanced", second)


def run(bench: Bench, seeds: int, jobs: int) -> dict[str, Any]:
    with ThreadPoolExecutor(jobs) as pool:
        teacher = pool.submit(teacher_of, bench)
        students = bench.students(STUDENTS, "camvid", seeds, pool, teacher)
        first = bench.row("teacher: ResNet-18 + pyramid, 1600 + 1200 steps", [teacher.result()])
    rows = {"teacher": first} | students
    # The IoU of each class, seed by seed.
    for row in rows.values():
        found = [scores(bench.runs / name)["iou"] for name in row["runs"]]
        row["iou"] = {}
        for name in found[0]:
            row["iou"][name] = [one[name] for one in found]
    metric = "CamVid val mIoU in % at 360 x 480, last checkpoint, float32 evaluation"
    return described(teacher.result(), metric, jobs, rows)


def leave_out(drive: str) -> str:
    """Return the override that trains on the other drives and scores on this one."""
    return f"data.leave_out={{pool: train+val, groups: '^[^_]+', val: ['{drive}']}}"


def run_drives(bench: Bench, seeds: int, jobs: int) -> dict[str, Any]:
    folds: dict[str, dict[str, Any]] = {}
    for drive in DRIVES:
        left = leave_out(drive)
        rows = {}
        for key in ROWS_OF_DRIVES:
            row = STUDENTS[key]
            rows[key] = replace(row, overrides=(*row.overrides, left))
        with ThreadPoolExecutor(jobs) as pool:
            teacher = pool.submit(teacher_of, bench, f"camvid-{drive}", (left,))
            students = bench.students(rows, f"camvid-{drive}", seeds, pool, teacher)
            folds[drive] = {"teacher": bench.row("teacher", [teacher.result()])} | students
    metric = "CamVid mIoU in % on a drive that was left out, mean of three, at 360 x 480, last checkpoint, float32"
    result = described(bench.runs / f"camvid-{DRIVES[0]}-teacher-balanced", metric, jobs, over_drives(folds))
    return result | {"drives": folds}


def over_drives(folds: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Average the rows of all drives, seed by seed; each drive counts alike, however many frames it has."""
    rows: dict[str, Any] = {}
    for key, first in next(iter(folds.values())).items():
        parts = [fold[key] for fold in folds.values()]
        means = [statistics.mean(values) for values in zip(*(part["miou"] for part in parts), strict=True)]
        rows[key] = {
            "title": first["title"],
            "miou": means,
            "mean": statistics.mean(means),
            "std": statistics.stdev(means) if len(means) > 1 else 0.0,
            "seconds_per_step": statistics.median(part["seconds_per_step"] for part in parts),
            "drives": {drive: fold[key]["mean"] for drive, fold in folds.items()},
        }
    return rows


if __name__ == "__main__":
    main(__doc__, "camvid", ("miou", "mIoU"), 3, run, {"drives": run_drives})
