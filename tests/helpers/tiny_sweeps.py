"""A sweep of two methods and two seeds on tiny data, and what it left behind."""

import copy
from pathlib import Path
from typing import Any

import yaml

from densekd.run.launch import Launch
from densekd.sweep.queue import Queue, fill_queue
from densekd.sweep.reading import load_sweep
from densekd.sweep.trials import make_trials
from densekd.sweep.work import Place

_SWEEP: dict[str, Any] = {
    "recipe": "tiny.yaml",
    "axes": {"method": {"alone": {"distill": [], "teacher": None}, "cwd": []}, "seed": [0, 1]},
}
CPU = Place(Launch(accelerator="cpu", devices="1"), waits=False)


def tiny_sweep() -> dict[str, Any]:
    """Return the content of the sweep, the test's to change."""
    return copy.deepcopy(_SWEEP)


def write_sweep(folder: Path, recipe: dict[str, Any], sweep: dict[str, Any]) -> Path:
    """Write a sweep and its recipe, which has a teacher and one term; return the sweep's file."""
    content = {**recipe, "teacher": {**recipe["student"], "checkpoint": "untrained"}, "logging": []}
    content["distill"] = [{"method": "cwd", "weight": 3}]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content))
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(sweep, sort_keys=False))
    return path


def filled(file: Path, out: Path) -> Queue:
    """Fill the queue of a sweep's file, as the command does."""
    spec = load_sweep(file)
    return fill_queue(out, spec, make_trials(spec, file))
