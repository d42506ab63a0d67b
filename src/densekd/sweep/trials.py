"""Trials of a sweep: the product of its axes and draws, each with a name and a recipe of its own."""

import hashlib
import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densekd.errors import RecipeError
from densekd.recipe import Recipe
from densekd.recipe.shipped import named_recipe
from densekd.sweep.sections import Override, RangeSpec, SearchSpec, SweepSpec, label_of

# The axis that repetitions are told apart by; rows of the leaderboard are means over it.
SEED = "seed"
_SEED_KEY = "training.seed"
_MOST = 10_000


@dataclass(frozen=True)
class Trial:
    """One training of a sweep.

    Args:
        name: of its run folder.
        point: axis -> name of the point, ``seed`` among them where it is an axis.
        draw: number of the random search's draw; None without a search.
        drawn: key -> what was drawn.
        overrides: all that its recipe changes, as ``key.path=value``.
        recipe: as it is trained.
    """

    name: str
    point: Mapping[str, str]
    draw: int | None
    drawn: Mapping[str, Any]
    overrides: tuple[str, ...]
    recipe: Recipe


def make_trials(spec: SweepSpec, path: Path) -> list[Trial]:
    """Return the trials of a sweep, whose recipes are all checked.

    Args:
        spec: the sweep.
        path: its file, for messages and as the place that its recipe is looked for.

    Raises:
        RecipeError: a recipe that is wrong; too many trials, none, or two of one name.
    """
    draws: list[int | None] = [None]
    if spec.search is not None:
        draws = list(range(spec.search.trials))
    count = math.prod(len(points) for points in spec.axes.values()) * len(draws)
    if count > _MOST:
        raise RecipeError(f"{path}: axes: {count} trials; a sweep has at most {_MOST}.")
    trials: dict[str, Trial] = {}
    for point in _product(spec):
        for draw in draws:
            trial = _make_trial(spec, path, point, draw)
            other = trials.setdefault(trial.name, trial)
            if other is not trial:
                raise RecipeError(f"{path}: axes: two trials are called '{trial.name}'; give their points other names.")
    if not trials:
        raise RecipeError(f"{path}: exclude leaves no trial.")
    return list(trials.values())


def _product(spec: SweepSpec) -> list[dict[str, Any]]:
    """Return every combination of the axes but for excluded ones: axis -> point."""
    found = []
    for points in itertools.product(*spec.axes.values()):
        point = dict(zip(spec.axes, points, strict=True))
        if not any(_matches(point, excluded) for excluded in spec.exclude):
            found.append(point)
    return found


def _matches(point: Mapping[str, Any], pattern: Mapping[str, Any]) -> bool:
    """Return whether a combination is one of those that a pattern, axis -> name or names, means."""
    for axis, names in pattern.items():
        listed = names if isinstance(names, list) else [names]
        if str(point[axis]) not in [str(name) for name in listed]:
            return False
    return True


def _make_trial(spec: SweepSpec, path: Path, point: Mapping[str, Any], draw: int | None) -> Trial:
    labels = [label_of(axis, value) for axis, value in point.items()]
    if draw is not None:
        labels.append(f"draw{draw}")
    name = "-".join(labels)
    # In their order: those of every trial, of each axis, of the draw, the name.
    overrides = as_overrides(spec.overrides)
    for axis, value in point.items():
        overrides += _overrides_of(spec, axis, value)
    drawn: dict[str, Any] = {}
    if spec.search is not None and draw is not None:
        drawn = _draw(spec.search, point, draw)
        overrides += [f"{key}={json.dumps(value)}" for key, value in drawn.items()]
    overrides.append(f"name={json.dumps(name)}")
    try:
        recipe = named_recipe(_located(spec.recipe, path), overrides)
    except RecipeError as error:
        shown = ", ".join(f"{axis}: {value}" for axis, value in point.items())
        raise RecipeError(f"{path}: trial '{name}' ({shown}): {error}") from error
    return Trial(name, {axis: str(value) for axis, value in point.items()}, draw, drawn, tuple(overrides), recipe)


def _located(name: str, path: Path) -> str:
    """Return a recipe's file beside the sweep's, where there is one of this name; else the name as it is."""
    beside = path.parent / name
    return str(beside) if beside.exists() else name


def _overrides_of(spec: SweepSpec, axis: str, point: Any) -> list[str]:
    """Return what a point of an axis changes; that of a list is the value of the axis's own key."""
    points = spec.axes[axis]
    if isinstance(points, dict):
        return as_overrides(points[point])
    key = _SEED_KEY if axis == SEED else axis
    return [f"{key}={json.dumps(point)}"]


def as_overrides(overrides: list[Override]) -> list[str]:
    """Return overrides as ``key.path=value``: nested mappings become one for each value in them."""
    found: list[str] = []
    for override in overrides:
        if isinstance(override, str):
            found.append(override)
        else:
            found += _flattened(override, "")
    return found


def _flattened(content: Mapping[str, Any], prefix: str) -> list[str]:
    found: list[str] = []
    for key, value in content.items():
        path = f"{prefix}{key}"
        # A list is a value as a whole, and an empty mapping too.
        if isinstance(value, dict) and value:
            found += _flattened(value, f"{path}.")
        else:
            found.append(f"{path}={json.dumps(value)}")
    return found


def _draw(search: SearchSpec, point: Mapping[str, Any], draw: int) -> dict[str, Any]:
    """Draw the values of a trial: a function of the search's seed, the draw and the key, and of nothing else."""
    ranges = dict(search.over)
    for axis, names in search.only.items():
        ranges |= names.get(str(point[axis]), {})
    drawn = {}
    for key, values in ranges.items():
        drawn[key] = drawn_value(values, _uniform(f"{search.seed}/{draw}/{key}"))
    return drawn


def _uniform(text: str) -> float:
    """Return a number in [0, 1) for a text: equal everywhere and in every version."""
    digest = hashlib.sha256(text.encode()).digest()
    return int.from_bytes(digest[:6], "big") / float(1 << 48)


def drawn_value(values: RangeSpec, share: float) -> Any:
    """Return the value of a range at a share in [0, 1) of it; numbers have four digits, for people."""
    if values.choice is not None:
        return values.choice[int(share * len(values.choice))]
    if values.integer is not None:
        low, high = values.integer
        return low + int(share * (high - low + 1))
    if values.log_uniform is not None:
        first, last = values.log_uniform
        return float(f"{first * (last / first) ** share:.4g}")
    assert values.uniform is not None
    start, end = values.uniform
    return float(f"{start + (end - start) * share:.4g}")
