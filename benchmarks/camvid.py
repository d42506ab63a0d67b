"""Does distillation help a small student on CamVid? Teacher, baselines (three seeds) and methods (one), on a CPU.

    python benchmarks/camvid.py --data data/camvid

Every row of the table is a recipe with overrides, trained by ``densekd train`` in a process of its own with one thread,
two at a time. Finished runs are kept, so an interrupted benchmark goes on where it stopped. Writes
``benchmarks/results/camvid-cpu.json``; ``--table`` prints it as Markdown.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densekd.files import write_text

HERE = Path(__file__).parent
RECIPES = HERE.parent / "recipes"
RESULTS = HERE / "results" / "camvid-cpu.json"
CWD = "camvid-r18quarter-cwd"
FEATURES = "student: pre_logits, teacher: pre_logits"


@dataclass(frozen=True)
class Row:
    """One row of the table: a recipe, what is changed in it, whether it needs the teacher, seeds (None: all)."""

    title: str
    recipe: str
    overrides: tuple[str, ...] = ()
    taught: bool = False
    seeds: int | None = None


def _method(title: str, term: str) -> Row:
    """Describe the CWD recipe with another term in its place; one seed, because there are many."""
    return Row(title, CWD, (f"distill=[{{{term}}}]",), taught=True, seeds=1)


STUDENTS = {
    "alone-600": Row("student alone, 600 steps", "camvid-r18quarter"),
    "alone-1200": Row("student alone, 1200 steps", "camvid-r18quarter", ("training.steps=1200",)),
    "weighted-600": Row("student alone, weighted cross-entropy", "camvid-r18quarter", ("task.class_weights=balanced",)),
    "cwd-t1": Row("CWD, T 1, weight 3", CWD, taught=True),
    "cwd-t4": Row("CWD, T 4, weight 3", CWD, ("distill.0.options.temperature=4",), taught=True),
    "pixel": Row("pixel KD, T 1, weight 1", "camvid-r18quarter-pixel", taught=True),
    "weighted-cwd-t1": Row("CWD, T 1, weighted cross-entropy", CWD, ("task.class_weights=balanced",), taught=True),
    "cwd-untrained": Row(
        "control: CWD from an untrained teacher",
        CWD,
        ("teacher={model: fpn, options: {backbone: resnet18, channels: 128}, checkpoint: untrained}",),
    ),
    "cirkd_memory": _method("CIRKD memory, weights 0.1", f"method: cirkd_memory, weight: 1, {FEATURES}"),
    "cgd": _method(
        "CGD, groups of 3, T 2, weight 3",
        "method: cgd, weight: 3, resize: label, options: {temperature: 2, group_size: 3, scale: none}",
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


@dataclass(frozen=True)
class Bench:
    """Where data and runs are."""

    data: Path
    runs: Path

    def train(self, name: str, row: Row, *more: str) -> Path:
        """Train one run unless it is finished; return its folder."""
        folder = self.runs / name
        if not (folder / "results.json").is_file():
            command = [sys.executable, "-m", "densekd", "train", str(RECIPES / f"{row.recipe}.yaml"), "--resume"]
            changes = [f"name={name}", f"data.root={self.data}", *row.overrides, *more]
            folder.mkdir(parents=True, exist_ok=True)
            with (self.runs / f"{name}.log").open("w", encoding="utf-8") as log:
                subprocess.run(
                    [*command, *changes, "--run", str(folder)],
                    env=os.environ | {"OMP_NUM_THREADS": "1"},
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    check=True,
                )
        print(f"{name}: {_scores(folder)['miou']:.2f}", flush=True)
        return folder

    def teacher(self) -> Path:
        """Train the two parts of the teacher."""
        first = self.train("camvid-teacher", Row("", "camvid-teacher"))
        return self.train("camvid-teacher-balanced", Row("", "camvid-teacher-balanced"), f"student.checkpoint={first}")

    def student(self, key: str, seed: int, teacher: "Future[Path]") -> Path:
        """Train one student; one that is taught waits for the teacher."""
        row = STUDENTS[key]
        more = [f"training.seed={seed}"]
        if row.recipe != "camvid-r18quarter":
            more.append("baseline=null")
        if row.taught:
            more.append(f"teacher.checkpoint={teacher.result()}")
        return self.train(f"camvid-{key}-seed{seed}", row, *more)


def run(bench: Bench, seeds: int, jobs: int) -> dict[str, Any]:
    with ThreadPoolExecutor(jobs) as pool:
        teacher = pool.submit(bench.teacher)
        # Those that need the teacher come last, so that nobody waits while there is other work.
        numbers = {key: range(row.seeds or seeds) for key, row in STUDENTS.items()}
        order = sorted(((k, s) for k in STUDENTS for s in numbers[k]), key=lambda ks: (STUDENTS[ks[0]].taught, ks[1]))
        futures = {(key, seed): pool.submit(bench.student, key, seed, teacher) for key, seed in order}
        folders = {ks: future.result() for ks, future in futures.items()}
    environment = json.loads((teacher.result() / "environment.json").read_text(encoding="utf-8"))
    rows = {"teacher": _row("teacher: ResNet-18 + pyramid, 1600 + 1200 steps", [teacher.result()])}
    rows |= {key: _row(row.title, [folders[key, s] for s in numbers[key]]) for key, row in STUDENTS.items()}
    return {
        "date": environment["started"],
        "machine": environment["machine"] | {"threads_per_run": 1, "runs_side_by_side": jobs},
        "versions": environment["versions"],
        "metric": "CamVid val mIoU in % at 360 x 480, last checkpoint, float32 evaluation",
        "rows": rows,
    }


def table(results: dict[str, Any]) -> str:
    lines = ["| run | mIoU % (mean) | std | seeds | s / step |", "|---|---|---|---|---|"]
    for row in results["rows"].values():
        seeds = " / ".join(f"{value:.2f}" for value in row["miou"])
        std = f"{row['std']:.2f}" if len(row["miou"]) > 1 else "–"
        lines.append(f"| {row['title']} | **{row['mean']:.2f}** | {std} | {seeds} | {row['seconds_per_step']:.3f} |")
    return "\n".join(lines)


def _row(title: str, folders: list[Path]) -> dict[str, Any]:
    miou = [_scores(folder)["miou"] for folder in folders]
    return {
        "title": title,
        "miou": miou,
        "mean": statistics.mean(miou),
        "std": statistics.stdev(miou) if len(miou) > 1 else 0.0,
        "seconds_per_step": statistics.median(_seconds(folder) for folder in folders),
        "iou": {name: [_scores(f)["iou"][name] for f in folders] for name in _scores(folders[0])["iou"]},
        "runs": [folder.name for folder in folders],
    }


def _scores(folder: Path) -> dict[str, Any]:
    scores: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))["student"]
    return scores


def _seconds(folder: Path) -> float:
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as handle:
        return statistics.median(float(r["seconds_per_step"]) for r in csv.DictReader(handle) if r["seconds_per_step"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data/camvid"), help="CamVid folder")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the run folders go")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--table", action="store_true", help="print the stored results and exit")
    arguments = parser.parse_args()
    if not arguments.table:
        results = run(Bench(arguments.data.resolve(), arguments.runs.resolve()), arguments.seeds, arguments.jobs)
        write_text(RESULTS, json.dumps(results, indent=1) + "\n")
    print(table(json.loads(RESULTS.read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
