"""The comparison as one self-contained page: table, Pareto picture, curves, classes, pictures of all runs."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from densekd.compare.groups import Comparison, Group
from densekd.compare.runs import Run
from densekd.compare.table import class_means, comparison_rows, described
from densekd.report.curves import BOTTOM, LEFT, RIGHT, TOP, Axis, axis, rounded
from densekd.report.pictures import Samples, read_samples

# Colors of the style sheet.
_COLORS = 8
_PHOTOGRAPHS = ("image",)
# Columns of the table behind the scores, of which those stay that any group has.
_COLUMNS: tuple[dict[str, Any], ...] = (
    {"key": "parameters", "title": "M parameters", "unit": 1e6, "digits": 2},
    {"key": "milliseconds", "title": "ms", "unit": 1, "digits": 1},
    {"key": "multiply_adds", "title": "G multiply-adds", "unit": 1e9, "digits": 2},
    {"key": "steps", "title": "Steps", "unit": 1, "digits": 0},
    {"key": "seconds", "title": "Seconds", "unit": 1, "digits": 0},
)
# What a score is drawn against, and the columns that hold it: the first that every group has.
_COSTS: tuple[tuple[str, str, float], ...] = (
    ("milliseconds", "milliseconds an image", 1),
    ("multiply_adds", "billion multiply-adds", 1e9),
    ("parameters", "million parameters", 1e6),
    ("seconds", "seconds of training", 1),
)


def comparison_page(comparison: Comparison) -> str:
    """Return the page of a comparison; everything from runs is escaped, and nothing is fetched."""
    templates = Environment(
        loader=ChoiceLoader([PackageLoader("densekd", "compare"), PackageLoader("densekd", "report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Both files are ours, so that they are no text to escape.
    script = files("densekd.compare").joinpath("page.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    metric = comparison.groups[0].runs[0].metrics.headline
    rows = comparison_rows(comparison)
    return templates.get_template("page.html.j2").render(
        script=Markup(script),
        digest=digest,
        metric=metric,
        baseline=comparison.baseline,
        costs=[column for column in _COLUMNS if any(row[column["key"]] for row in rows)],
        groups=list(zip(comparison.groups, rows, _colors(comparison), strict=True)),
        described=described,
        pareto=_pareto(comparison, rows),
        curves=_curves(comparison),
        classes=_classes(comparison),
        by_class=comparison.groups[0].runs[0].metrics.by_class,
        pictures=_pictures(comparison),
    )


def _colors(comparison: Comparison) -> list[int]:
    return [index % _COLORS for index in range(len(comparison.groups))]


def _pareto(comparison: Comparison, rows: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Lay out scores against the first cost that all groups have and that differs; None where there is none."""
    scored = [(index, group) for index, group in enumerate(comparison.groups) if group.score is not None]
    for key, title, unit in _COSTS:
        costs = [rows[index][key] for index, _ in scored]
        if None in costs or len(set(costs)) < 2:
            continue
        values = [group.score.value for _, group in scored if group.score is not None]
        x, y = _axes([cost / unit for cost in costs], values)
        points = []
        for (index, group), cost, value in zip(scored, costs, values, strict=True):
            place = {"x": x.place(cost / unit), "y": y.place(value), "color": index % _COLORS, "title": group.title}
            points.append(place)
        return {"title": title, "x": x, "y": y, "points": points}
    return None


def _axes(across: Sequence[float], up: Sequence[float]) -> tuple[Axis, Axis]:
    """Return axes that hold all points, with ticks at round numbers."""
    x = rounded(axis((min(across), max(across)), (LEFT, RIGHT)))
    y = rounded(axis((min(up), max(up)), (BOTTOM, TOP)))
    return x, y


def _curves(comparison: Comparison) -> list[dict[str, Any]]:
    """Lay out the validations over steps and over seconds; every seed is a line of its group's color."""
    drawn = []
    over: tuple[tuple[str, Callable[[tuple[int, float, float]], float]], ...] = (
        ("steps", lambda point: point[0]),
        ("seconds", lambda point: point[2]),
    )
    for title, place in over:
        lines = []
        for index, group in enumerate(comparison.groups):
            for run in group.runs:
                points = [(place(point), point[1]) for point in run.curve]
                if points and any(x > 0 for x, _ in points):
                    lines.append((index % _COLORS, points))
        if not lines:
            continue
        every = [point for _, points in lines for point in points]
        x, y = _axes([0, *[one for one, _ in every]], [one for _, one in every])
        shown = []
        for color, points in lines:
            text = " ".join(f"{x.place(one):.1f},{y.place(other):.1f}" for one, other in points)
            shown.append({"color": color, "points": text, "end": text.rpartition(" ")[2].split(",")})
        drawn.append({"title": title, "x": x, "y": y, "lines": shown})
    return drawn


def _classes(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the mean of every class for each group."""
    means = [class_means(group) for group in comparison.groups]
    names = list(dict.fromkeys(name for one in means for name in one))
    return [{"name": name, "values": [one.get(name) for one in means]} for name in names]


def _pictures(comparison: Comparison) -> dict[str, Any] | None:
    """Collect the sample pictures that the first run of each group left."""
    found: list[tuple[Group, int, Samples]] = []
    for index, group in enumerate(comparison.groups):
        run = group.runs[0]
        samples = read_samples(_home(run) / "predictions", _PHOTOGRAPHS)
        if samples.shown:
            found.append((group, index % _COLORS, samples))
    if not found:
        return None
    stems = [sample.stem for sample in found[0][2].shown]
    images = []
    for stem in stems:
        shown: dict[str, Any] = {"stem": stem, "image": None, "truth": None, "models": []}
        models: list[dict[str, Any]] = []
        for group, color, samples in found:
            kinds = _kinds(samples, stem)
            shown["image"] = shown["image"] or kinds.get("image")
            shown["truth"] = shown["truth"] or kinds.get("truth")
            # A baseline's are beside its student; who was trained alone for itself is the student of its folder.
            picture = kinds.get("baseline") if group.runs[0].label == "alone" else None
            picture = picture or kinds.get("student")
            if picture is not None:
                models.append({"title": group.title, "color": color, "picture": picture})
        shown["models"] = models
        images.append(shown)
    return {"images": images, "titles": [group.title for group, _, _ in found]}


def _home(run: Run) -> Path:
    """Return the folder whose pictures show a run: a baseline's are beside those of its student."""
    return run.folder.parent if run.folder.name == "baseline" else run.folder


def _kinds(samples: Samples, stem: str) -> dict[str, Any]:
    """Return the pictures of one image by their kind."""
    for sample in samples.shown:
        if sample.stem == stem:
            return {picture.kind: picture for picture in sample.pictures if picture.source is not None}
    return {}
