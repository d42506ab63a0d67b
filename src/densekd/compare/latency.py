"""Milliseconds of runs: of their training's machine, or of a later ``densekd benchmark --json FILE``."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from densekd.compare.runs import Run
from densekd.errors import UserError
from densekd.parsers import load_json


def with_milliseconds(runs: Sequence[Run], path: Path) -> list[Run]:
    """Return runs with the milliseconds of a benchmark, in place of those of their trainings.

    All runs are then measured on one machine, in turns. A run that was not measured there has none, because
    a number of another machine cannot be compared with the others.

    Args:
        runs: see :func:`densekd.compare.runs.read_run`.
        path: what ``densekd benchmark RUN ... --json FILE`` wrote; its rows in eager PyTorch count.

    Raises:
        UserError: another file, or one that measured none of the runs.
    """
    measured = _measured(path)
    found = [replace(run, milliseconds=measured.get(run.folder.resolve())) for run in runs]
    if all(run.milliseconds is None for run in found):
        raise UserError(
            f"--latency {path}: measured none of these runs; 'densekd benchmark RUN ... --json {path} --force' does, "
            "with the same folders."
        )
    return found


def _measured(path: Path) -> dict[Path, float]:
    """Return the median of each run folder that a benchmark ran in eager PyTorch."""
    try:
        rows: Any = load_json(path)
        found: dict[Path, float] = {}
        for row in rows:
            # An exported folder has a row of its own, and no parameters; a package stands for its run.
            if row["parameters"] is not None:
                place = Path(row["model"]).resolve()
                # 'densekd init' calls a run student, as the package in every run is called.
                package = place.name == "student" and not (place / "recipe.yaml").is_file()
                found[place.parent if package else place] = _positive(row["median_ms"])
    except FileNotFoundError:
        raise UserError(
            f"--latency {path}: no such file; 'densekd benchmark RUN ... --json {path}' makes it."
        ) from None
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise UserError(f"--latency {path}: is not what 'densekd benchmark --json' writes ({error!r}).") from error
    return found


def _positive(value: object) -> float:
    """Return milliseconds that can be.

    Raises:
        ValueError: no number above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"median_ms is {value!r}")
    return float(value)
