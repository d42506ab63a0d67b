"""Gather what a run folder holds."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from densekd.errors import UserError
from densekd.exported import ExportRow, read_exports
from densekd.metric_names import MetricNames
from densekd.parsers import parse_json, read_bytes
from densekd.report.metrics import METRICS, Series, checksum_of, read_metrics
from densekd.report.names import names_in
from densekd.report.pictures import KINDS, Samples, read_drawing, read_samples
from densekd.report.results import Drawing, Results, read_results
from densekd.report.shipping import Shipping, read_shipping
from densekd.seal import read_document, require_unchanged, was_changed

_WITHOUT_CURVES = "Put back a copy, or remove it: the report then has no curves."

# Of a recipe or a description of the machine.
_MOST_MEGABYTES = 2


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
        exports: artefacts for inference engines, with their verdicts.
        shipping: the student package; None before there is one.
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
    exports: tuple[ExportRow, ...]
    shipping: Shipping | None
    recipe: str
    environment: tuple[tuple[str, str], ...]


def read_run(folder: Path) -> Run:
    """Read a run folder.

    Args:
        folder: the run folder.

    Returns:
        Its content; ``environment`` is flattened to dotted names.

    Raises:
        UserError: there is neither ``results.json`` nor ``metrics.csv``, or one of them is
            malformed.
    """
    results, metrics = folder / "results.json", folder / METRICS
    if not results.exists() and not metrics.is_file():
        raise UserError(f"{folder}: no report can be made, there is neither results.json nor metrics.csv.")
    # What the scores are called stands with them, or, before there are any, beside metrics.csv.
    scored: Results | None = None
    drawings: tuple[Drawing, ...] = ()
    if results.exists():
        scored = read_results(results)
        names: MetricNames | None = scored.names
        drawings = scored.figures
    else:
        names = names_in(folder)
    photographs: tuple[str, ...] = ("image",)
    if names is not None and names.pictures == "photographs":
        photographs = KINDS
    return Run(
        name=folder.resolve().name,
        names=names,
        results=scored,
        student=_metrics(metrics),
        baseline=_metrics(folder / "baseline" / METRICS),
        samples=read_samples(folder / "predictions", photographs),
        figures=_figures(folder, drawings),
        exports=read_exports(folder),
        shipping=read_shipping(folder),
        recipe=_recipe(folder / "recipe.yaml"),
        environment=_environment(folder / "environment.json"),
    )


def _figures(folder: Path, drawings: tuple[Drawing, ...]) -> tuple[Figure, ...]:
    """Read the drawings that are there; a name leads nowhere but into the run folder."""
    # Only the last part of a name counts, whatever a results file says.
    found: list[Figure] = []
    for drawing in drawings:
        source = read_drawing(folder / Path(drawing.file).name)
        if source:
            found.append(Figure(drawing.title, drawing.description, source))
    return tuple(found)


def _metrics(path: Path) -> dict[str, Series]:
    if path.is_dir():
        raise UserError(f"{path}: a folder stands in its place. {_WITHOUT_CURVES}")
    if not path.is_file():
        return {}
    results = path.with_name("results.json")
    written = read_document(results).get(METRICS) if results.is_file() else None
    if written not in (None, checksum_of(path)):
        raise UserError(f"{path}: not what the training wrote, as its checksum in {results} says. {_WITHOUT_CURVES}")
    return read_metrics(path)


def _text(path: Path) -> str:
    if not path.is_file():
        return ""
    try:
        return read_bytes(path, _MOST_MEGABYTES).decode("utf-8", "replace")
    except (OSError, ValueError) as error:
        return f"{path.name} cannot be shown: {error}"


def _recipe(path: Path) -> str:
    """Read the text of the recipe; where it was changed, or is a folder, the text says so."""
    text = _text(path)
    if path.is_dir():
        return f"# {path.name}: a folder stands in its place\n"
    if was_changed(text) or (path.is_file() and "\nstudent:" not in f"\n{text}"):
        return f"# NOT what the training began with: {path.name} was changed or damaged since\n{text}"
    return text


def _environment(path: Path) -> tuple[tuple[str, str], ...]:
    """Read the rows of the environment table. It is a side note: a damaged file is shown, not refused."""
    if path.is_dir():
        return ((f"{path.name}: a folder stands in its place", ""),)
    if not path.is_file():
        return ()
    text = _text(path)
    try:
        content = parse_json(text.encode("utf-8"))
        checked = require_unchanged(content, path.name)
        return tuple(_flatten("", checked))
    except ValueError:
        return ((f"{path.name} is not valid JSON", text),)
    except UserError as error:
        return ((str(error), text),)


def _flatten(name: str, value: object) -> Iterator[tuple[str, str]]:
    """Yield dotted names and values; a list is one value, whatever it holds."""
    if isinstance(value, dict):
        for key, inner in value.items():
            dotted = f"{name}.{key}" if name else key
            yield from _flatten(dotted, inner)
    elif isinstance(value, list):
        yield name, ", ".join(map(_plain, value))
    else:
        yield name, _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value)
