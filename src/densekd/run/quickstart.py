"""Quickstart without a download: synthetic scenes, a teacher, a student alone and with CWD."""

import json
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from densekd.atomic import write_text
from densekd.data.demo.dataset import make_demo
from densekd.errors import UserError
from densekd.recipe import load_recipe
from densekd.report.tables import comparison_table
from densekd.run.contents import clear, foreign_files, is_quickstart, is_used, mark
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch
from densekd.run.lock import locked
from densekd.run.replace import listed, require_replaceable
from densekd.run.train import train

IMAGES = {"train": 240, "val": 60}
SIZE = (96, 128)


def quickstart(run: Path, recipes: Path, overwrite: bool, console: Console) -> dict[str, Any]:
    """Run everything into ``run`` and write ``comparison.json``; resumable.

    Args:
        run: the run folder; data and teacher go into ``data/`` and ``teacher/`` below it.
        recipes: the folder with ``quickstart.yaml`` and ``quickstart-teacher.yaml``.
        overwrite: start from nothing.
        console: for people.

    Returns:
        ``{"teacher": {"miou": ...}, "alone": {...}, "distilled": {...}}`` in percent.

    Raises:
        UserError: the folder holds something else.
    """
    # A folder of something else is left alone, whatever was asked for.
    if is_used(run):
        _require_quickstart(run)
        if overwrite:
            require_replaceable(run)
    with locked(run):
        if overwrite:
            clear(run)
        mark(run, "quickstart")
        return _quickstart(run, recipes, console)


def _require_quickstart(run: Path) -> None:
    """Check that a folder holds a quickstart.

    Raises:
        UserError: it holds something else.
    """
    foreign = foreign_files(run)
    if is_quickstart(run) and not foreign:
        return
    held = f": it holds {listed(foreign)}" if foreign else ""
    raise UserError(f"{run} exists and is no quickstart{held}. Choose another --run.")


def _quickstart(run: Path, recipes: Path, console: Console) -> dict[str, Any]:
    """Make the data, train teacher, student alone and student, and compare them."""
    started = time.perf_counter()
    # The data: pictures depend on their seed and number alone, so that existing ones are kept.
    console.print(f"making {sum(IMAGES.values())} street scenes", highlight=False)
    make_demo(run / "data", IMAGES, SIZE, seed=0)
    root = f"data.root={run / 'data'}"
    teacher = RunFolder(run / "teacher")
    # The teacher; like every part it goes on where it was interrupted.
    console.print("training the teacher", highlight=False)
    teacher_recipe = load_recipe(recipes / "quickstart-teacher.yaml", [root])
    train(teacher_recipe, teacher, Launch(), "resume", console)
    # The student with CWD, and before it, as the recipe's baseline, the student alone.
    recipe = load_recipe(recipes / "quickstart.yaml", [root, f"teacher.checkpoint={teacher.path}"])
    results = train(recipe, RunFolder(run), Launch(), "resume", console)
    names = {"teacher": "teacher", "alone": "baseline", "distilled": "student"}
    comparison = {name: _means(results[key]) for name, key in names.items()}
    write_text(run / "comparison.json", json.dumps(comparison, indent=1) + "\n")
    console.print(comparison_table(results))
    gain = comparison["distilled"]["miou"] - comparison["alone"]["miou"]
    minutes = (time.perf_counter() - started) / 60
    console.print(f"CWD changed the student by {gain:+.1f} mIoU; {minutes:.1f} minutes.", highlight=False)
    return comparison


def _means(scores: dict[str, Any]) -> dict[str, float]:
    return {key: scores[key] for key in ("miou", "macc", "aacc")}
