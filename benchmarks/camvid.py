"""CamVid benchmark on a CPU: teacher, students alone (three seeds) and distilled by many methods (one).

    python benchmarks/camvid.py --data data/camvid

Every row of the table is a recipe with overrides, trained by ``densekd train`` in a process of its
own with one thread, two at a time. Finished runs are kept, so an interrupted benchmark goes on
where it stopped. Writes ``benchmarks/results/camvid-cpu.json``; ``--table`` prints it as Markdown.

The official validation split is the rest of a drive that more than half of the training images show:
``equal_seconds.py`` compares on drives that nobody saw.
"""

from concurrent.futures import ThreadPoolExecutor
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


def teacher_of(bench: Bench) -> Path:
    """Train the two parts of the teacher."""
    first = bench.train("camvid-teacher", Row("", "camvid-teacher"))
    return bench.train("camvid-teacher-balanced", Row("", "camvid-teacher-balanced", (f"student.checkpoint={first}",)))


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


if __name__ == "__main__":
    main(__doc__, "camvid", ("miou", "mIoU"), 3, run)
