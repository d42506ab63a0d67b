"""Read ``results.json``: the scores of teacher, baseline and student on one split."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from densekd.errors import UserError
from densekd.metric_names import MetricName, MetricNames
from densekd.report.budget import Budget, read_budget
from densekd.report.latency import Latency, read_latency
from densekd.report.names import names_of
from densekd.seal import read_document

Color = tuple[int, int, int]

_ANEW = "A run's scores are made anew by 'densekd train RUN --resume'."


@dataclass(frozen=True)
class Scores:
    """The scores of one model; None means not measured, in ``by_class`` not in the data.

    Args:
        score: the headline.
        means: all that models are compared by, by key.
        by_class: the score of each class, by its name.
        images: how many it was scored on.
        parameters, flops: of the model.
        interval: of the headline over images (95 %).
        remarks: what is told in sentences, by key.
    """

    score: float
    means: Mapping[str, float | None]
    by_class: Mapping[str, float | None]
    images: float | None
    parameters: float | None
    flops: float | None
    interval: tuple[float, float] | None
    remarks: Mapping[str, float | None]


@dataclass(frozen=True)
class Drawing:
    """A drawing that lies beside the results."""

    file: str
    title: str
    description: str


@dataclass(frozen=True)
class Results:
    """What ``results.json`` holds; ``baseline`` is the same student trained alone.

    ``student`` is None where there were no labels to score it with; ``remarks`` are the student's
    in any case. ``latency`` is None in runs that did not measure it,
    ``budget`` in those without a baseline; ``baseline_seconds`` is a second one, of as many seconds.
    """

    split: str
    names: MetricNames
    student: Scores | None
    baseline: Scores | None
    teacher: Scores | None
    remarks: Mapping[str, float | None]
    palette: Mapping[str, Color]
    figures: tuple[Drawing, ...]
    latency: Latency | None = None
    budget: Budget | None = None
    baseline_seconds: Scores | None = None


def read_results(path: Path) -> Results:
    """Read and check a results file.

    Args:
        path: the JSON file. Unknown keys are ignored, so that older code reads newer files.

    Returns:
        The scores.

    Raises:
        UserError: the file cannot be read, is no JSON, does not say its task, or a value has the
            wrong kind; the message says which.
    """
    document = read_document(path, _ANEW)
    try:
        return _results(_mapping(document, "the document"), path)
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path}: {error}.") from error


def _results(fields: Mapping[str, Any], path: Path) -> Results:
    if fields.get("student") is None:
        raise ValueError("'student' is missing")
    names = names_of(fields, path)
    scored = _mapping(fields["student"], "student")
    # Without labels the headline is there and null; where it is missing, something is wrong.
    unlabelled = scored.get(names.headline.key, 0) is None
    palette: dict[str, Color] = {}
    for name, value in _mapping(fields.get("palette"), "palette").items():
        palette[name] = _color(value, name)
    student = None
    if not unlabelled:
        student = _scores(scored, "student", names)
    return Results(
        split=str(fields.get("split") or ""),
        names=names,
        student=student,
        baseline=_optional_scores(fields.get("baseline"), "baseline", names),
        teacher=_optional_scores(fields.get("teacher"), "teacher", names),
        remarks=_remarks(scored, "student", names),
        palette=palette,
        figures=_drawings(fields.get("figures")),
        latency=read_latency(fields.get("latency")),
        budget=read_budget(fields.get("budget")),
        baseline_seconds=_optional_scores(fields.get("baseline_seconds"), "baseline_seconds", names),
    )


def _optional_scores(value: object, name: str, names: MetricNames) -> Scores | None:
    if value is None:
        return None
    fields = _mapping(value, name)
    # Beside a student without labels, nobody has scores.
    if fields.get(names.headline.key, 0) is None:
        return None
    return _scores(fields, name, names)


def _scores(fields: Mapping[str, Any], name: str, names: MetricNames) -> Scores:
    means: dict[str, float | None] = {}
    for metric in names.columns:
        means[metric.key] = _value(fields.get(metric.key), metric, f"{name}.{metric.key}")
    score = means[names.headline.key]
    if score is None:
        raise ValueError(f"'{name}.{names.headline.key}' is missing")
    # Facts beside the scores, each of which may be missing.
    images = _amount(fields.get("images"), f"{name}.images")
    interval = None
    if names.interval is not None:
        interval = _interval(fields.get(names.interval), names.headline, f"{name}.{names.interval}")
    return Scores(
        score=score,
        means=means,
        by_class=_by_class(fields, name, names.by_class),
        images=images,
        parameters=_amount(fields.get("parameters"), f"{name}.parameters"),
        flops=_amount(fields.get("flops"), f"{name}.flops"),
        interval=interval,
        remarks=_remarks(fields, name, names),
    )


def _by_class(fields: Mapping[str, Any], name: str, metric: MetricName | None) -> dict[str, float | None]:
    """Read the score of each class; nothing where the task has none."""
    if metric is None:
        return {}
    found: dict[str, float | None] = {}
    for label, value in _mapping(fields.get(metric.key), f"{name}.{metric.key}").items():
        found[label] = _value(value, metric, f"{name}.{metric.key}.{label}")
    return found


def _remarks(fields: Mapping[str, Any], name: str, names: MetricNames) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for remark in names.remarks:
        key = remark.name.key
        found[key] = _value(fields.get(key), remark.name, f"{name}.{key}")
    return found


def _mapping(value: object, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"'{name}' must be an object, not {value!r}")
    return value


def _amount(value: object, name: str) -> float | None:
    if value is not None and not (_is_number(value) and value >= 0):
        raise ValueError(f"'{name}' must be a number of at least 0, not {value!r}")
    return value


def _value(value: object, metric: MetricName, name: str) -> float | None:
    """Read a score: a percentage from 0 to 100, or any finite number where the unit is another."""
    if metric.unit != "%":
        if value is not None and not _is_number(value):
            raise ValueError(f"'{name}' must be a number, not {value!r}")
        return value
    number = _amount(value, name)
    # A sum of rounded shares may pass 100 by the last bits.
    if number is not None and number > 100 + 1e-6:
        raise ValueError(f"'{name}' must be a percentage from 0 to 100, not {value!r}")
    return number


def _is_number(value: object) -> TypeGuard[float]:
    # bool is an int to Python, and json reads NaN and Infinity although the standard has neither.
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _interval(value: object, metric: MetricName, name: str) -> tuple[float, float] | None:
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 2:
        low, high = _value(value[0], metric, name), _value(value[1], metric, name)
        if low is not None and high is not None and low <= high:
            return low, high
    raise ValueError(f"'{name}' must be two rising numbers, not {value!r}")


def _drawings(value: object) -> tuple[Drawing, ...]:
    """Read which drawings lie beside the results, each with its title and description."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError(f"'figures' must be a list, not {value!r}")
    found: list[Drawing] = []
    for one in value:
        fields = _mapping(one, "figures")
        file, title = str(fields.get("file")), str(fields.get("title"))
        found.append(Drawing(file, title, str(fields.get("description"))))
    return tuple(found)


def _color(value: object, name: str) -> Color:
    match value:
        case [int(red), int(green), int(blue)] if all(0 <= channel <= 255 for channel in (red, green, blue)):
            return red, green, blue
    raise ValueError(f"'palette.{name}' must be three whole numbers from 0 to 255, not {value!r}")
