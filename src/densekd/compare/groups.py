"""Groups of runs that differ in nothing but the seed, and their differences to a baseline."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from densekd.compare.runs import Run
from densekd.compare.statistics import Interval, over_seeds, paired, paired_by_image
from densekd.errors import UserError

# Keys that say where and by what name something is trained, and not what.
_PLACES = ("name", "baseline", "baseline_steps", "logging", "callbacks", "kernels")


@dataclass(frozen=True)
class Group:
    """Runs of one recipe with different seeds.

    Args:
        title: for people; unique among the groups.
        runs: by seed.
        score: over seeds.
        difference: to the baseline, in the headline's own direction; None for the baseline itself,
            for what cannot be compared, and without a seed in common.
        gain: whether a difference above 0 is better.
    """

    title: str
    runs: tuple[Run, ...]
    score: Interval | None
    difference: Interval | None = None
    gain: bool = True

    @property
    def odd(self) -> str:
        """Why it is left out of differences; empty where it is not."""
        return next((run.odd for run in self.runs if run.odd), "")

    @property
    def verdict(self) -> str:
        """What the difference says, in words."""
        if self.odd:
            return f"not comparable: {self.odd}"
        if self.difference is None:
            return ""
        if self.difference.low is None:
            return "one seed: not known"
        if not self.difference.certain:
            return "not distinguishable"
        better = (self.difference.value > 0) == self.gain
        word = "better" if better else "worse"
        return word if self.difference.basis != "images" else f"{word} by images, one seed"


@dataclass(frozen=True)
class Comparison:
    """Groups, the baseline's first.

    Args:
        groups: in the order of their scores, best first, behind the baseline.
        baseline: title of that group; empty where there is none.
    """

    groups: tuple[Group, ...]
    baseline: str

    @property
    def runs(self) -> list[Run]:
        """All runs."""
        return [run for group in self.groups for run in group.runs]


def compare_runs(runs: Sequence[Run], baseline: str | None = None) -> Comparison:
    """Group runs and compare every group with the baseline.

    Args:
        runs: see :func:`densekd.compare.runs.mark_odd`.
        baseline: title of a group, or the name of one of its folders; None: the student alone, or
            else nothing.

    Raises:
        UserError: no such baseline.
    """
    gathered: dict[str, dict[int, Run]] = {}
    for run in runs:
        # One seed twice is one training: the same student alone stands beside several methods.
        gathered.setdefault(_key(run), {}).setdefault(run.seed, run)
    members = [tuple(by_seed[seed] for seed in sorted(by_seed)) for by_seed in gathered.values()]
    titles = _titles([group[0] for group in members])
    groups = [_group(title, group) for title, group in zip(titles, members, strict=True)]
    reference = _baseline(groups, baseline)
    if reference is not None:
        groups = [group if group is reference else _compared(group, reference) for group in groups]
    ordered = sorted(groups, key=lambda group: _rank(group, reference))
    return Comparison(tuple(ordered), reference.title if reference else "")


def _group(title: str, runs: tuple[Run, ...]) -> Group:
    values = [run.score for run in runs if run.score is not None]
    gain = runs[0].metrics.headline.better == "higher"
    return Group(title, runs, over_seeds(values) if values else None, gain=gain)


def _compared(group: Group, reference: Group) -> Group:
    """Return a group with its difference to the reference, over the seeds that both have."""
    if group.odd or reference.odd or group.score is None:
        return group
    ours, theirs = ({run.seed: run for run in one.runs} for one in (group, reference))
    seeds = [seed for seed in ours if seed in theirs]
    if not seeds:
        return group
    pairs = [(ours[seed], theirs[seed]) for seed in seeds]
    if all(one.images is not None and other.images is not None for one, other in pairs):
        mine = [one.images for one, _ in pairs if one.images is not None]
        others = [other.images for _, other in pairs if other.images is not None]
        difference = paired_by_image(mine, others)
    else:
        difference = paired([one.score or 0.0 for one, _ in pairs], [other.score or 0.0 for _, other in pairs])
    return Group(group.title, group.runs, group.score, difference, group.gain)


def _rank(group: Group, reference: Group | None) -> tuple[bool, bool, float]:
    if group.score is None:
        return (True, True, 0.0)
    return (group is not reference, bool(group.odd), -group.score.value if group.gain else group.score.value)


def _baseline(groups: Sequence[Group], name: str | None) -> Group | None:
    """Return the group that the others are compared with."""
    if name is None:
        alone = [group for group in groups if group.runs[0].label == "alone" and not group.odd]
        return alone[0] if alone else None
    for group in groups:
        if name == group.title or any(name in (str(run.folder), run.folder.name) for run in group.runs):
            return group
    known = ", ".join(group.title for group in groups)
    raise UserError(f"--baseline {name}: no such group; there is {known}.")


def _key(run: Run) -> str:
    """Return what runs of one group have in common."""
    recipe: dict[str, Any] = json.loads(json.dumps(run.recipe, default=str))
    for name in _PLACES:
        recipe.pop(name, None)
    if isinstance(recipe.get("training"), dict):
        recipe["training"].pop("seed", None)
    if run.label == "alone":
        # A student alone is the same whichever method it stands beside.
        recipe.pop("teacher", None)
        recipe.pop("distill", None)
    return json.dumps([recipe, run.odd], sort_keys=True)


def _titles(first: Sequence[Run]) -> list[str]:
    """Name groups by their methods, and by what else differs where two have the same ones."""
    titles = []
    for run in first:
        alike = [other for other in first if other.label == run.label]
        if len(alike) == 1:
            titles.append(run.label)
            continue
        flat = [_flat(other.recipe) for other in alike]
        own = _flat(run.recipe)
        keys = [key for key in own if any(other.get(key) != own[key] for other in flat)]
        shown = [key for key in keys if not key.startswith(_PLACES) and key != "training.seed"]
        differs = ", ".join(f"{key}={own[key]}" for key in shown[:3])
        titles.append(f"{run.label} ({differs})" if differs else f"{run.label} ({run.folder.name})")
    return _unique(titles)


def _unique(titles: Sequence[str]) -> list[str]:
    seen: dict[str, int] = {}
    unique = []
    for title in titles:
        seen[title] = seen.get(title, 0) + 1
        unique.append(title if seen[title] == 1 else f"{title} #{seen[title]}")
    return unique


def _flat(content: Any, path: str = "") -> dict[str, str]:
    """Return every value of a recipe by its path."""
    if isinstance(content, Mapping):
        parts = [(str(key), value) for key, value in content.items()]
    elif isinstance(content, list):
        parts = [(str(index), value) for index, value in enumerate(content)]
    else:
        return {path: str(content)}
    found: dict[str, str] = {}
    for key, value in parts:
        found |= _flat(value, f"{path}.{key}" if path else key)
    return found
