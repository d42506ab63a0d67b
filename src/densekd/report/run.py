"""Gather what a run folder holds."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from densekd.errors import UserError
from densekd.metric_names import MetricNames
from densekd.report.metrics import Series, read_metrics
from densekd.report.names import names_in
from densekd.report.pictures import KINDS, Samples, read_drawing, read_samples
from densekd.report.results import Drawing, Results, read_results


@dataclass(frozen=True)
class Figure:
    """A drawing of the scores: ``source`` is a data address."""

    title: str
    description: str
    source: str


@dataclass(frozen=True)
class Run:
    """The content of a run folder. What is missing there is None or empty here.

    Args:
        name: of the folder.
        names: what the scores are called; None where nothing says the task.
        results: the scores.
        student, baseline: columns of ``metrics.csv``.
        samples: pictures.
        figures: drawings.
        recipe: its text.
        environment: rows of the environment table.
    """

    name: str
    names: MetricNames | None
    results: Results | None
    student: Mapping[str, Series]
    baseline: Mapping[str, Series]
    samples: Samples
    figures: tuple[Figure, ...]
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
    scored = read_results(results) if results.is_file() else None
    names = names_in(folder) if scored is None else scored.names
    beside = folder / "baseline" / "metrics.csv"
    all_photographs = names is not None and names.pictures == "photographs"
    return Run(
        name=folder.resolve().name,
        names=names,
        results=scored,
        student=read_metrics(metrics) if metrics.is_file() else {},
        baseline=read_metrics(beside) if beside.is_file() else {},
        samples=read_samples(folder / "predictions", KINDS if all_photographs else ("image",)),
        figures=_figures(folder, scored.figures if scored else ()),
        recipe=_text(folder / "recipe.yaml"),
        environment=_environment(folder / "environment.json"),
    )


def _figures(folder: Path, drawings: tuple[Drawing, ...]) -> tuple[Figure, ...]:
    """Read the drawings that are there; a name leads nowhere but into the run folder."""
    found: list[Figure] = []
    for drawing in drawings:
        source = read_drawing(folder / Path(drawing.file).name)
        if source:
            found.append(Figure(drawing.title, drawing.description, source))
    return tuple(found)


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
