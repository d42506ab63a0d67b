"""Benchmark of trials that are trained together, against the teacher once and each student alone.

    python benchmarks/together.py --threads 1
    python benchmarks/together.py --table              # print what was measured last as Markdown

A student alone and one for each of several methods learn from an FPN of ResNet-18, at 96 x 128 and a batch of eight.
In each round every one is trained by itself and then all are trained together, in one process, so that other load of
the machine falls on both. A round's bound is one loading of the batches, one pass of the teacher and the rest of
every training, as they were measured in the trainings by themselves; the ratio is what together takes, over it. On a
processor these are seconds of its time, which other load does not stretch; on a GPU they pass on the wall. The
first step and the last do not count, nor do validation and report, which every trial has for itself.

Writes ``benchmarks/results/together-<machine>.json``.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from measuring import common_parser, machine, result_path
from PIL import Image

from densekd.atomic import write_text
from densekd.builders.build import Built, build
from densekd.quiet import silence_libraries
from densekd.recipe import Recipe, parse_recipe
from densekd.run.company import Company, Member
from densekd.run.fit import fit
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch
from densekd.run.loggers import Observers
from densekd.terminal import Terminal

SIZE, CLASSES, STEPS = (96, 128), 11, 12
TAP = {"student": "features.2", "teacher": "features.2", "weight": 1}
METHODS: dict[str, list[dict[str, Any]]] = {
    "alone": [],
    "cwd": [{"method": "cwd", "weight": 3}],
    "mgd": [{"method": "mgd", **TAP}],
    "fitnet": [{"method": "fitnet", "adapter": "conv", **TAP}],
}


class Window(L.Callback):
    """Time between the end of the first step and the end of the last but one.

    Args:
        built: whose teacher's passes are timed, too.
        clock: by which, in seconds.
    """

    def __init__(self, built: Built, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.begin = self.end = 0.0
        self.teacher = self.counted = 0.0
        self.loading = 0.0
        self.stepped = 0.0
        if built.teacher is not None:
            built.teacher.frozen.register_forward_pre_hook(self._before)
            built.teacher.frozen.register_forward_hook(self._after)

    def on_train_batch_start(self, trainer: L.Trainer, module: L.LightningModule, batch: Any, batch_idx: int) -> None:
        """Count what passed since the step before: the loading, and a little of Lightning's."""
        if 0 < batch_idx < trainer.max_steps - 1:
            self.loading += self.clock() - self.stepped

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Begin and end the window."""
        self.stepped = self.clock()
        if batch_idx == 0:
            self.begin = self.stepped
            self.teacher = 0.0
        if batch_idx == trainer.max_steps - 2:
            self.end = self.stepped
            # What follows is not in the window.
            self.counted = self.teacher

    def _before(self, *unused: Any) -> None:
        self.started = self.clock()

    def _after(self, *unused: Any) -> None:
        self.teacher += self.clock() - self.started


def make_data(root: Path) -> None:
    """Write 24 images of noise with labels, two of them to validate on."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 22), ("val", 2)):
        for kind in ("images", "labels"):
            (root / kind / split).mkdir(parents=True)
        for number in range(count):
            Image.fromarray(rng.integers(0, 255, (*SIZE, 3), dtype=np.uint8)).save(
                root / "images" / split / f"{number}.png"
            )
            Image.fromarray(rng.integers(0, CLASSES, SIZE, dtype=np.uint8)).save(
                root / "labels" / split / f"{number}.png"
            )
    write_text(root / "classes.json", json.dumps({"names": [f"class{number}" for number in range(CLASSES)]}))


def recipe_of(root: Path, method: str) -> Recipe:
    """Return the recipe of a trial."""
    teacher = {"model": "fpn", "options": {"backbone": "resnet18"}, "checkpoint": "untrained"}
    content = {
        "name": method,
        "data": {"dataset": "folder", "root": str(root), "batch_size": 8},
        "augment": {"crop": list(SIZE)},
        "student": {"model": "fpn", "options": {"backbone": "resnet18_025", "channels": 32}},
        "teacher": teacher if METHODS[method] else None,
        "distill": METHODS[method],
        "optimizer": {"method": "adamw", "lr": 0.001},
        "training": {"steps": STEPS, "log_every": STEPS},
        "logging": [],
    }
    return parse_recipe(content, "benchmark")


def trained(root: Path, method: str, device: str) -> Window:
    """Train a trial in a folder of its own; return its times."""
    recipe = recipe_of(root / "data", method)
    built = build(recipe)
    window = Window(built, time.process_time if device == "cpu" else time.perf_counter)
    launch = Launch("gpu" if device == "cuda" else "cpu", "1")
    with tempfile.TemporaryDirectory(dir=root) as folder:
        run = RunFolder(Path(folder) / "run")
        run.path.mkdir()
        fit(recipe, built, run, launch, Terminal(quiet=True), Observers(callbacks=(window,)))
    return window


def one_round(root: Path, device: str) -> dict[str, float]:
    """Return seconds of a step: of all trials by themselves, their bound together, and together."""
    alone = {method: trained(root, method, device) for method in METHODS}

    def job(method: str) -> Callable[[Member], Window]:
        return lambda member: trained(root, method, device)

    together = Company(len(METHODS)).run([job(method) for method in METHODS])
    for outcome in together:
        if isinstance(outcome, BaseException):
            raise outcome
    total = sum(one.end - one.begin for one in alone.values())
    teachers = [one.counted for one in alone.values() if one.counted]
    loadings = [one.loading for one in alone.values()]
    # Everything but what is shared, and that once.
    bound = total - sum(teachers) - sum(loadings) + statistics.mean(teachers) + statistics.mean(loadings)
    # Everybody's steps lie between the last one's first step and its last but one.
    seconds = together[-1].end - together[-1].begin
    steps = STEPS - 2
    return {"alone": total / steps, "bound": bound / steps, "together": seconds / steps, "ratio": seconds / bound}


def quartiles(values: list[float]) -> tuple[float, float, float]:
    first, middle, last = statistics.quantiles(values, n=4, method="inclusive")
    return first, middle, last


def table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    rounds = results["rounds"]
    lines = ["| trials | by themselves | teacher + students | together | together / (teacher + students) |"]
    lines.append("|---" * 5 + "|")
    cells = [", ".join(METHODS)]
    for key in ("alone", "bound", "together"):
        cells.append(f"{quartiles([one[key] for one in rounds])[1]:.3f} s")
    low, middle, high = quartiles([one["ratio"] for one in rounds])
    cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
    lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    return common_parser(__doc__, 12).parse_args(argv)


def main(argv: list[str] | None = None, show: Callable[[str], None] = print) -> None:
    args = arguments(argv)
    path = result_path("together", args)
    if args.table:
        return show(table(json.loads(path.read_text(encoding="utf-8"))))
    silence_libraries()
    torch.set_num_threads(args.threads)
    results: dict[str, Any] = {"machine": machine(args.device), "rounds": []}
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_data(root / "data")
        # The first round pays for what is done once in a process.
        one_round(root, args.device)
        for _ in range(args.repeats):
            results["rounds"].append(one_round(root, args.device))
            write_text(path, json.dumps(results, indent=1) + "\n")
    return show(table(results))


if __name__ == "__main__":
    main()
