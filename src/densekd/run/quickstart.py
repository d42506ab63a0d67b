"""The embedded default: synthetic scenes, a teacher, a student alone and a student with CWD, without any download."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from densekd.atomic import write_text
from densekd.data.demo.dataset import make_demo
from densekd.errors import UserError
from densekd.recipe import load_recipe
from densekd.report.tables import comparison_table
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch
from densekd.run.train import train

IMAGES = {"train": 240, "val": 60}
SIZE = (96, 128)


def quickstart(run: Path, recipes: Path, overwrite: bool, console: Console) -> dict[str, Any]:
    """Run everything into ``run`` and write ``comparison.json``; an interrupted quickstart goes on where it stopped.

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
    started = time.perf_counter()
    if run.is_dir() and any(run.iterdir()) and not (run / "data").is_dir():
        raise UserError(f"{run} exists and is no quickstart. Choose another --run.")
    if overwrite:
        shutil.rmtree(run, ignore_errors=True)
    console.print(f"making {sum(IMAGES.values())} street scenes", highlight=False)
    make_demo(run / "data", IMAGES, SIZE, seed=0)
    root = f"data.root={run / 'data'}"
    teacher = RunFolder(run / "teacher")
    console.print("training the teacher", highlight=False)
    train(load_recipe(recipes / "quickstart-teacher.yaml", [root]), teacher, Launch(), "resume", console)
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
