"""Comparison of trainings: each row is a recipe with overrides and several seeds.

A run is ``densekd train`` in a process of its own with one thread.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import RESULTS

from densekd.atomic import write_text

RECIPES = Path(__file__).parent.parent / "recipes"


@dataclass(frozen=True)
class Row:
    """One row of the table: a recipe and what is changed in it.

    Args:
        title: in the table.
        recipe: name of a file in ``recipes``, without its suffix.
        overrides: ``key=value`` as on the command line.
        needs_teacher: whether ``teacher.checkpoint`` is the trained teacher.
        seeds: how many; None: as many as the program was told.
    """

    title: str
    recipe: str
    overrides: tuple[str, ...] = ()
    needs_teacher: bool = False
    seeds: int | None = None


@dataclass(frozen=True)
class Bench:
    """Folders of the data and of the runs, and the key of ``results.json`` that is compared."""

    data: Path
    runs: Path
    score: str

    def train(self, name: str, row: Row, *more: str) -> Path:
        """Train one run unless it is finished; return its folder."""
        folder = self.runs / name
        if not (folder / "results.json").is_file():
            recipe = RECIPES / f"{row.recipe}.yaml"
            command = [sys.executable, "-m", "densekd", "train", str(recipe), "--resume"]
            command += [f"name={name}", f"data.root={self.data}", *row.overrides, *more]
            command += ["--run", str(folder)]
            # One thread each: runs side by side do not take each other's cores.
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            folder.mkdir(parents=True, exist_ok=True)
            with (self.runs / f"{name}.log").open("w", encoding="utf-8") as log:
                subprocess.run(command, env=environment, stdout=log, stderr=subprocess.STDOUT, check=True)
        print(f"{name}: {scores(folder)[self.score]:.2f}", flush=True)
        return folder

    def students(
        self, rows: Mapping[str, Row], prefix: str, seeds: int, pool: ThreadPoolExecutor, teacher: "Future[Path]"
    ) -> dict[str, dict[str, Any]]:
        """Train every row with every seed and return what the table shows.

        Distilled students wait for the teacher.
        """

        def train_one(key: str, seed: int) -> Path:
            row = rows[key]
            more = [f"training.seed={seed}"]
            if row.needs_teacher:
                more.append(f"teacher.checkpoint={teacher.result()}")
            return self.train(f"{prefix}-{key}-seed{seed}", row, *more)

        jobs = []
        for key, row in rows.items():
            for seed in range(row.seeds or seeds):
                jobs.append((row.needs_teacher, seed, key))
        # Those that need the teacher come last, so that nobody waits while there is other work.
        jobs.sort(key=lambda job: job[:2])
        futures: dict[str, dict[int, Future[Path]]] = {key: {} for key in rows}
        for _, seed, key in jobs:
            futures[key][seed] = pool.submit(train_one, key, seed)
        results = {}
        for key, row in rows.items():
            folders = [future.result() for _, future in sorted(futures[key].items())]
            results[key] = self.row(row.title, folders)
        return results

    def row(self, title: str, folders: Sequence[Path]) -> dict[str, Any]:
        """Return what the table shows of some seeds: scores, mean, sample standard deviation, time."""
        values = [scores(folder)[self.score] for folder in folders]
        deviation = 0.0
        if len(values) > 1:
            deviation = statistics.stdev(values)
        return {
            "title": title,
            self.score: values,
            "mean": statistics.mean(values),
            "std": deviation,
            "seconds_per_step": statistics.median(map(_seconds, folders)),
            "runs": [folder.name for folder in folders],
        }


def scores(folder: Path) -> dict[str, Any]:
    """Return the student's scores."""
    found: dict[str, Any] = json.loads((folder / "results.json").read_text(encoding="utf-8"))["student"]
    return found


def described(teacher: Path, metric: str, jobs: int, rows: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole result: when and where, what was measured, the rows."""
    environment = json.loads((teacher / "environment.json").read_text(encoding="utf-8"))
    return {
        "date": environment["started"],
        "machine": environment["machine"] | {"threads_per_run": 1, "runs_side_by_side": jobs},
        "versions": environment["versions"],
        "metric": metric,
        "rows": rows,
    }


def table(results: dict[str, Any], score: str, name: str) -> str:
    """Return the rows as Markdown."""
    titles = ["run", f"{name} % (mean)", "std", "seeds", "s / step"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for row in results["rows"].values():
        seeds = " / ".join(f"{value:.2f}" for value in row[score])
        # One seed has no spread.
        std = f"{row['std']:.2f}" if len(row[score]) > 1 else "–"
        lines.append(f"| {row['title']} | **{row['mean']:.2f}** | {std} | {seeds} | {row['seconds_per_step']:.3f} |")
    return "\n".join(lines)


# Trains everything with so many seeds, so many at a time, and returns the results.
Run = Callable[[Bench, int, int], Any]


def main(description: str | None, name: str, score: tuple[str, str], seeds: int, run: Run) -> None:
    """Read the command line, run, write and print.

    Args:
        description: of the program.
        name: of the data and of the results' file.
        score: key of ``results.json`` that is compared, and what it is called.
        seeds: default.
        run: what is trained.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("data") / name, help="folder of the data")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="where the run folders go")
    parser.add_argument("--seeds", type=int, default=seeds)
    parser.add_argument("--jobs", type=int, default=2, help="runs side by side")
    parser.add_argument("--table", action="store_true", help="print the stored results and exit")
    arguments = parser.parse_args()
    file = RESULTS / f"{name}-cpu.json"
    if not arguments.table:
        bench = Bench(arguments.data.resolve(), arguments.runs.resolve(), score[0])
        write_text(file, json.dumps(run(bench, arguments.seeds, arguments.jobs), indent=1) + "\n")
    print(table(json.loads(file.read_text(encoding="utf-8")), *score))


def _seconds(folder: Path) -> float:
    """Median time of a step of one run."""
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as handle:
        times = [row["seconds_per_step"] for row in csv.DictReader(handle)]
    return statistics.median(float(time) for time in times if time)
