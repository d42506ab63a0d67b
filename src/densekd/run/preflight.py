"""A look before the leap: sample the data, build everything, run a few real steps, estimate memory and time."""

import csv
import resource
import statistics
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from torch import nn

from densekd.builders.build import Built, build
from densekd.builders.data import build_files
from densekd.builders.task import data_task
from densekd.data.check import DataReport, Problem, SplitFacts, look_at_all, summarize
from densekd.data.contract import Files, subset
from densekd.distill.terms import Context, Term, paths
from densekd.errors import RecipeError, UserError
from densekd.kernels import using
from densekd.recipe import Recipe
from densekd.run.fit import fit
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch
from densekd.tasks.protocol import Task
from densekd.teacher_cache import gigabytes

_STEPS = 4
_SHOWN = 30
_SAMPLE = 32


def check(recipe: Recipe, console: Console) -> Table:
    """Try a recipe without leaving anything behind.

    Args:
        recipe: as it would be trained.
        console: for people.

    Returns:
        What was found, and the estimates.

    Raises:
        UserError: whatever would stop the training.
    """
    size = None
    if recipe.teacher is not None and recipe.teacher.cache is not None:
        cached = build(recipe).cache
        assert cached is not None
        size = gigabytes(cached.store.layout.bytes)
        recipe = recipe.model_copy(update={"teacher": recipe.teacher.model_copy(update={"cache": None})})
    built = build(recipe)
    distiller = built.distiller
    table = Table("what", "found", title=f"{recipe.name}: ready to train", title_justify="left")
    for split, files in ((recipe.data.train, built.training.files), (recipe.data.val, built.validation)):
        table.add_row(
            f"{split} images", f"{len(files)}, {_decode_sample(built.task, files)} of them decoded and verified"
        )
    table.add_row("classes", f"{len(built.package.classes)}: {', '.join(built.package.classes)}")
    table.add_row("student", _millions(distiller.student))
    for note in built.notes:
        table.add_row("", note)
    if distiller.teacher is not None:
        table.add_row("teacher", _millions(distiller.teacher))
    if size is not None:
        table.add_row("teacher cache", f"{size}; the steps below run the teacher")
    if built.scored_teacher is not None:
        sample = subset(built.validation, _SAMPLE)
        headline = built.task.metrics.headline
        with using(recipe.kernels):
            scores = built.task.scores(built.scored_teacher, sample, recipe.data.input_size)
        score = scores[headline.key]
        found = "no labels" if score is None else headline.format(score)
        table.add_row(f"teacher's {headline.title}", f"{found} on {len(sample)} validation images")
    for name, term in distiller.terms.items():
        assert isinstance(term, Term | Context)
        taps = " <- ".join(", ".join(paths(tap)) for tap in term.taps if tap)
        table.add_row(f"{type(term).__name__.lower()} {name}", taps)
    losses, seconds = _try_steps(recipe, built, console)
    table.add_row("first losses", losses)
    left = timedelta(seconds=round(seconds * recipe.training.steps))
    table.add_row("time", f"{seconds:.3f} s a step, {left} for {recipe.training.steps} steps, validation not counted")
    table.add_row("peak memory", _peak_memory())
    return table


def check_data(recipe: Recipe, workers: int) -> DataReport:
    """Read every file of both splits, with progress; nothing is trained.

    Raises:
        RecipeError: an unknown dataset.
    """
    splits: list[SplitFacts] = []
    missing: list[Problem] = []
    for split in dict.fromkeys((recipe.data.train, recipe.data.val)):
        try:
            files = build_files(recipe.data, split)
        except RecipeError:
            raise
        except UserError as error:
            missing.append(Problem("error", split, recipe.data.root, str(error)))
            continue
        task = data_task(recipe, files)
        facts = look_at_all(task.look, files, workers)
        shown = track(facts, f"reading {split}", total=len(files), transient=True)
        splits.append(SplitFacts(split, files, task.counted(files), list(shown)))
    return summarize(splits, missing)


def data_table(report: DataReport) -> Table:
    """Show sizes, classes and problems; of many problems the first of each kind of message."""
    table = Table("split", "what", "found", title="data", title_justify="left")
    for part in report.splits:
        sizes = ", ".join(f"{n} of {height} x {width}" for (height, width), n in list(part.sizes.items())[:4])
        more = f", and {len(part.sizes) - 4} more sizes" if len(part.sizes) > 4 else ""
        table.add_row(part.split, "images", f"{part.images}: {sizes}{more}")
        for kind, counts in part.counts.items():
            table.add_row("", kind.replace("_", " "), ", ".join(_amounts(kind, counts)))
        table.add_section()
    for problem in report.problems[:_SHOWN]:
        color = "red" if problem.level == "error" else "yellow"
        table.add_row(problem.split, f"[{color}]{problem.level}[/]", escape(f"{problem.what} {problem.file}".strip()))
    if len(report.problems) > _SHOWN:
        table.add_row("", "", f"and {len(report.problems) - _SHOWN} more; --json FILE has them all")
    return table


def _amounts(kind: str, counts: Mapping[str, int]) -> list[str]:
    """Say how much there is of each thing; of pixels, the shares."""
    total = max(1, sum(counts.values()))
    return [f"{name} {100 * n / total:.2f} %" if kind == "pixels" else f"{n} {name}" for name, n in counts.items()]


def _try_steps(recipe: Recipe, built: Built, console: Console) -> tuple[str, float]:
    """Train a few steps in a temporary folder; return the first losses and the median seconds of the later steps."""
    training = recipe.training.model_copy(update={"steps": _STEPS, "log_every": 1, "validate_every": 0})
    short = recipe.model_copy(update={"training": training})
    little = replace(built, validation=subset(built.validation, 2))
    with tempfile.TemporaryDirectory() as folder:
        fit(short, little, RunFolder(Path(folder)), Launch(devices="1"), Console(quiet=True))
        with (Path(folder) / "metrics.csv").open(newline="", encoding="utf-8") as handle:
            rows = [row for row in csv.DictReader(handle) if row["seconds_per_step"]]
    losses = "  ".join(f"{name} {value}" for name, value in rows[0].items() if "/" in name and value)
    return losses, statistics.median(float(row["seconds_per_step"]) for row in rows[1:])


def _decode_sample(task: Task, files: Files) -> int:
    sample = task.evaluation_set(subset(files, _SAMPLE), None)
    for index in range(len(sample)):
        sample[index]
    return len(sample)


def _millions(model: nn.Module) -> str:
    return f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters"


def _peak_memory() -> str:
    if torch.cuda.is_available():
        return f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB on the GPU"
    unit = 1 if sys.platform == "darwin" else 1024
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9:.2f} GB of this process"
