"""Case: a recipe with its live objects, and the records of its run where there is one."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densekd.builders.build import Built, build
from densekd.data.sampler import Draw
from densekd.recipe import Recipe
from densekd.seal import read_document

# Columns of metrics.csv by name; an empty cell is no number.
Row = dict[str, float]
# Images of a batch, at most: examinations are quick on any machine.
_BATCH = 8
# Steps of a recipe that says seconds, which only its training measures.
_PROVISIONAL = 1000


@dataclass(frozen=True)
class Case:
    """What examinations read; none of them writes.

    Args:
        recipe: as it would be trained, without its teacher cache.
        built: its live objects, made for this examination alone.
        rows: of the run's ``metrics.csv``; empty for a recipe.
        results: of the run's ``results.json``; empty for a recipe, or an unfinished run.
        student: path of the student that the run exported, or None.
    """

    recipe: Recipe
    built: Built
    rows: tuple[Row, ...] = ()
    results: dict[str, Any] | None = None
    student: Path | None = None

    def batch(self, number: int) -> Any:
        """Return a batch of augmented training samples; the same number gives the same batch."""
        training, size = self.built.training, min(self.recipe.data.batch_size, _BATCH)
        first = number * size
        draws = [Draw((first + k) % len(training.files), first + k) for k in range(size)]
        return training.collate([training[draw] for draw in draws])


def open_case(recipe: Recipe, run: Path | None) -> Case:
    """Build a recipe and read what its run recorded.

    Args:
        recipe: to examine.
        run: its run folder, or None.

    Raises:
        UserError: whatever would stop the training before its first step.
    """
    # A cache would be filled on the disk, and an examination leaves nothing behind.
    if recipe.teacher is not None and recipe.teacher.cache is not None:
        teacher = recipe.teacher.model_copy(update={"cache": None})
        recipe = recipe.model_copy(update={"teacher": teacher})
    if recipe.training.seconds is not None:
        length = {"steps": _PROVISIONAL, "seconds": None}
        recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update=length)})
    built = build(recipe)
    if run is None:
        return Case(recipe, built)
    results = run / "results.json"
    found = read_document(results) if results.is_file() else None
    student = run / "student"
    trained = student if student.is_dir() else None
    return Case(recipe, built, read_rows(run / "metrics.csv"), found, trained)


def read_rows(path: Path) -> tuple[Row, ...]:
    """Read the records of a training; none where the file is missing."""
    if not path.is_file():
        return ()
    rows: list[Row] = []
    with path.open(newline="", encoding="utf-8", errors="replace") as handle:
        for cells in csv.DictReader(handle):
            row = {str(name): _number(cell) for name, cell in cells.items()}
            rows.append({name: value for name, value in row.items() if value is not None})
    return tuple(rows)


def _number(cell: Any) -> float | None:
    """Return the number of a cell, which may be NaN; None for one that holds none."""
    try:
        return float(cell)
    except (TypeError, ValueError):
        return None
