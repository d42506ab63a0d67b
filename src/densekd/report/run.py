"""Gather what a run folder holds."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from densekd.errors import UserError
from densekd.report.metrics import Series, read_metrics
from densekd.report.pictures import KINDS, Samples, read_drawing, read_samples
from densekd.report.results import Results, read_results
from densekd.titles import DETECTION, titles_of


@dataclass(frozen=True)
class Run:
    """The content of a run folder. What is missing there is None or empty here; ``confusion`` is a data address.

    ``agreement``: percent of the pixels on which student and teacher agree, where there are no labels.
    """

    name: str
    results: Results | None
    student: Mapping[str, Series]
    baseline: Mapping[str, Series]
    samples: Samples
    confusion: str
    agreement: float | None
    recipe: str
    environment: tuple[tuple[str, str], ...]


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Args:
        folder: the run folder.

    Returns:
        Its content; ``environment`` is flattened to dotted names.

    Raises:
        UserError: there is neither ``results.json`` nor ``metrics.csv``, or one of them is malformed.
    """
    results, metrics = folder / "results.json", folder / "metrics.csv"
    if not results.is_file() and not metrics.is_file():
        raise UserError(f"{folder}: no report can be made, there is neither results.json nor metrics.csv.")
    beside = folder / "baseline" / "metrics.csv"
    scored = read_results(results) if results.is_file() else None
    # Boxes are drawn on the photograph itself.
    photographs = KINDS if scored is not None and scored.titles is DETECTION else ("image",)
    return Run(
        name=folder.resolve().name,
        results=scored,
        student=read_metrics(metrics) if metrics.is_file() else {},
        baseline=read_metrics(beside) if beside.is_file() else {},
        samples=read_samples(folder / "predictions", photographs),
        agreement=_agreement(results),
        confusion=read_drawing(folder / "confusion.svg"),
        recipe=_text(folder / "recipe.yaml"),
        environment=_environment(folder / "environment.json"),
    )


def _agreement(path: Path) -> float | None:
    """Return the share of pixels that the student gives the teacher's class, where there were no labels to score it."""
    student = json.loads(_text(path) or "{}").get("student") or {}
    value = student.get("agreement") if student.get(titles_of(student).headline, 0) is None else None
    return float(value) if isinstance(value, int | float) else None


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _environment(path: Path) -> tuple[tuple[str, str], ...]:
    """Read the rows of the environment table. It is a side note: a damaged file is shown, not refused."""
    text = _text(path)
    if not text:
        return ()
    try:
        return tuple(_flatten("", json.loads(text)))
    except (ValueError, RecursionError):
        return ((f"{path.name} is not valid JSON", text),)


def _flatten(name: str, value: object) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flatten(f"{name}.{key}" if name else key, inner)
    elif isinstance(value, list):
        yield name, ", ".join(item if isinstance(item, str) else json.dumps(item) for item in value)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value)
