"""Read ``results.json``: the scores of teacher, baseline and student on one split."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densekd.errors import UserError
from densekd.titles import Titles, titles_of

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Scores:
    """The scores of one model. Percent lie in [0, 100]; None means not measured, in ``by_class`` not in the data.

    ``score`` is the headline, ``means`` all that models are compared by, by key. ``interval`` is that of the mIoU over
    images (95 %), ``agreement`` the share of pixels on which the model says what the teacher says, ``ece`` the
    calibration error.
    """

    score: float
    means: Mapping[str, float | None]
    by_class: Mapping[str, float | None]
    images: int | None
    parameters: float | None
    flops: float | None
    interval: tuple[float, float] | None = None
    agreement: float | None = None
    ece: float | None = None


@dataclass(frozen=True)
class Results:
    """What ``results.json`` holds; ``baseline`` is the same student trained alone."""

    split: str
    titles: Titles
    student: Scores
    baseline: Scores | None
    teacher: Scores | None
    palette: Mapping[str, Color]


def read_results(path: Path) -> Results | None:
    """Read and check a results file; None where there were no labels to score the student with.

    Args:
        path: the JSON file. Unknown keys are ignored, so that older code reads newer files.

    Returns:
        The scores.

    Raises:
        UserError: the file cannot be read, is no JSON, or a value has the wrong kind; the message says which.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not valid JSON ({error.msg}).") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error
    try:
        fields = _mapping(document, "the document")
        scored = _mapping(fields.get("student"), "student")
        titles = titles_of(scored)
        if scored.get(titles.headline, 0) is None:
            return None
        student = _scores(fields.get("student"), "student", titles)
        if student is None:
            raise ValueError("'student' is missing")
        return Results(
            split=str(fields.get("split") or ""),
            titles=titles,
            student=student,
            baseline=_scores(fields.get("baseline"), "baseline", titles),
            teacher=_scores(fields.get("teacher"), "teacher", titles),
            palette={name: _color(value, name) for name, value in _mapping(fields.get("palette"), "palette").items()},
        )
    except (ValueError, OverflowError) as error:
        raise UserError(f"{path}: {error}.") from error


def _scores(value: object, name: str, titles: Titles) -> Scores | None:
    if value is None:
        return None
    fields = _mapping(value, name)
    means = {key: _percent(fields.get(key), f"{name}.{key}") for key in titles.compared}
    score = means[titles.headline]
    if score is None:
        raise ValueError(f"'{name}.{titles.headline}' is missing")
    images = _amount(fields.get("images"), f"{name}.images")
    key, _ = titles.by_class
    by_class = _mapping(fields.get(key), f"{name}.{key}")
    return Scores(
        score=score,
        means=means,
        by_class={label: _percent(one, f"{name}.{key}.{label}") for label, one in by_class.items()},
        images=None if images is None else int(images),
        parameters=_amount(fields.get("parameters"), f"{name}.parameters"),
        flops=_amount(fields.get("flops"), f"{name}.flops"),
        interval=_interval(fields.get("miou_interval"), f"{name}.miou_interval"),
        agreement=_percent(fields.get("agreement"), f"{name}.agreement"),
        ece=_percent(fields.get("ece"), f"{name}.ece"),
    )


def _mapping(value: object, name: str) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"'{name}' must be an object, not {value!r}")
    return value


def _amount(value: object, name: str) -> float | None:
    if value is None:
        return None
    # bool is an int to Python, and json reads NaN and Infinity although the standard has neither.
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"'{name}' must be a number of at least 0, not {value!r}")
    return float(value)


def _percent(value: object, name: str) -> float | None:
    number = _amount(value, name)
    # A sum of rounded shares may pass 100 by the last bits.
    if number is not None and number > 100 + 1e-6:
        raise ValueError(f"'{name}' must be a percentage from 0 to 100, not {value!r}")
    return number


def _interval(value: object, name: str) -> tuple[float, float] | None:
    if value is None:
        return None
    if isinstance(value, list) and len(value) == 2:
        low, high = (_percent(end, name) for end in value)
        if low is not None and high is not None and low <= high:
            return low, high
    raise ValueError(f"'{name}' must be two rising percentages, not {value!r}")


def _color(value: object, name: str) -> Color:
    match value:
        case [int(red), int(green), int(blue)] if all(0 <= channel <= 255 for channel in (red, green, blue)):
            return red, green, blue
    raise ValueError(f"'palette.{name}' must be three whole numbers from 0 to 255, not {value!r}")
