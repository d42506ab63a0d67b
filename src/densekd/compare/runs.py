"""Runs that are compared: found below folders, read, and checked against each other."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from glob import glob
from pathlib import Path
from typing import Any

import numpy as np

from densekd.errors import UserError
from densekd.metric_names import MetricNames
from densekd.parsers import load_text, load_yaml
from densekd.report.metrics import METRICS
from densekd.run.image_scores import read_image_scores
from densekd.seal import read_document

# The student alone of a run, and the teacher of a quickstart, are shown with their run.
_INNER = ("baseline", "baseline-seconds", "teacher", "checkpoints", "student", "export", "predictions")
_ALONE = "alone"
_ANEW = "Scores are made anew by 'densekd train RUN --resume'."
# A run without terms that others learn from is their teacher, and no student.
_TEACHER = "teacher"


@dataclass(frozen=True)
class Run:
    """One training with its scores.

    Args:
        folder: of the run.
        label: what all seeds of it have in common, for people.
        seed: of the training.
        scores: of ``results.json``, of one model.
        metrics: what the scores are called.
        facts: what must be equal for scores to be comparable: split, data, classes, evaluation.
        images: what is known of each image, or None.
        curve: step -> headline of the validations, and the seconds of all steps until then.
        seconds: that the steps took; None where that is not known.
        steps: of the training.
        recipe: as it was trained.
        milliseconds: of an image on the machine of the training; None where it was not measured.
        odd: why it is left out of differences; empty where it is not.
    """

    folder: Path
    label: str
    seed: int
    scores: Mapping[str, Any]
    metrics: MetricNames
    facts: Mapping[str, str]
    images: np.ndarray | None
    curve: Sequence[tuple[int, float, float]]
    seconds: float | None
    steps: int
    recipe: Mapping[str, Any] = field(default_factory=dict)
    milliseconds: float | None = None
    odd: str = ""

    @property
    def score(self) -> float | None:
        """The headline; None where there were no labels."""
        value = self.scores.get(self.metrics.headline.key)
        return None if value is None else float(value)


def find_runs(paths: Sequence[str]) -> list[Path]:
    """Return the run folders that paths name: runs, folders of runs, patterns.

    Raises:
        UserError: a path that is not there, or holds no run.
    """
    found: dict[Path, None] = {}
    for path in paths:
        # What exists is meant as it is, also with brackets in its name.
        places = [Path(path)]
        if not places[0].exists():
            places = [Path(one) for one in sorted(glob(path))] or places  # noqa: PTH207
        for place in places:
            if not place.is_dir():
                raise UserError(f"{place}: no such run folder.")
            inside = list(_runs_in(place))
            if not inside:
                raise UserError(f"{place}: no run in it; a run has recipe.yaml and results.json.")
            found |= dict.fromkeys(inside)
    return list(found)


def _runs_in(folder: Path) -> Iterable[Path]:
    """Yield a folder that is a run, or the runs below it."""
    if (folder / "recipe.yaml").is_file():
        yield folder
        return
    for one in sorted(folder.iterdir()):
        # 'densekd init' calls two runs teacher and student, as parts of a run are called.
        part = one.name in _INNER and not (one / "recipe.yaml").is_file()
        if one.is_dir() and not one.name.startswith(".") and not part:
            yield from _runs_in(one)


def read_run(folder: Path) -> list[Run]:
    """Read a run: its student, and the student alone that was trained beside it.

    Raises:
        UserError: a run that is not finished, or a damaged file.
    """
    if not (folder / "results.json").is_file():
        raise UserError(f"{folder}: not finished; 'densekd train {folder} --resume' goes on.")
    results = read_document(folder / "results.json", _ANEW)
    recipe = _recipe(folder)
    metrics = _metrics(folder, results)
    images = read_image_scores(folder)
    facts = _facts(folder, results, recipe)
    latency = results.get("latency") or {}
    found = []
    places = {"student": folder, "baseline": folder / "baseline", "baseline_seconds": folder / "baseline-seconds"}
    for role, place in places.items():
        scores = results.get(role)
        if scores is None:
            continue
        own = _recipe(place) if (place / "recipe.yaml").is_file() else _alone(recipe)
        curve = _curve(place / METRICS, metrics.headline.key)
        training = own.get("training") or {}
        parts = images.get(role)
        found.append(
            Run(
                folder=place if place.is_dir() else folder,
                label=_label(own) if role == "student" else _ALONE,
                seed=int(training.get("seed", 0)),
                scores=scores,
                metrics=metrics,
                facts=facts,
                images=None if parts is None else parts.numpy(),
                curve=curve,
                seconds=_seconds(place / METRICS),
                steps=int(training.get("steps") or 0),
                recipe=_with_named_length(own, recipe, folder, role),
                milliseconds=_milliseconds(latency, role),
            )
        )
    return found


def _metrics(folder: Path, results: Any) -> MetricNames:
    try:
        return MetricNames.from_json(results["metrics"])
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{folder / 'results.json'}: is not what a training writes ({error!r}). {_ANEW}") from error


def mark_odd(runs: Sequence[Run]) -> list[Run]:
    """Mark the runs whose scores cannot be compared with those of most: other split, data, classes, evaluation."""
    if not runs:
        return []
    # What most of the runs share is what the others are measured by; of equally many the first.
    counted = Counter(tuple(sorted(run.facts.items())) for run in runs)
    usual = dict(counted.most_common(1)[0][0])
    marked = []
    for run in runs:
        differs = [name for name, value in run.facts.items() if usual.get(name) != value]
        odd = f"other {' and '.join(differs)}" if differs else ""
        if run.score is None:
            odd = "no labels, no scores"
        marked.append(Run(**{**vars(run), "odd": odd}))
    return marked


def teachers(runs: Sequence[Run]) -> set[Path]:
    """Return the folders that the recipes of runs name as their teachers."""
    named = [(run.recipe.get("teacher") or {}).get("checkpoint") for run in runs]
    return {Path(str(checkpoint)).resolve() for checkpoint in named if checkpoint}


def mark_teachers(runs: Sequence[Run]) -> list[Run]:
    """Call the runs that others learn from teachers, which are no student alone to compare with."""
    named = teachers(runs)
    marked = []
    for run in runs:
        teaches = run.label == _ALONE and run.folder.resolve() in named
        marked.append(replace(run, label=_TEACHER) if teaches else run)
    return marked


def _recipe(folder: Path) -> dict[str, Any]:
    try:
        content = load_yaml(folder / "recipe.yaml")
    except (OSError, ValueError) as error:
        raise UserError(f"{folder / 'recipe.yaml'}: cannot be read ({error}).") from error
    return dict(content)


def _with_named_length(own: Mapping[str, Any], recipe: Mapping[str, Any], folder: Path, role: str) -> Mapping[str, Any]:
    """Return a recipe whose measured steps are called by what decided them, since seeds differ in them.

    Args:
        own: of the student, or of the student alone.
        recipe: of the whole run.
        folder: of the run.
        role: which of the two is meant.
    """
    environment = folder / "environment.json"
    budget = (read_document(environment).get("budget") if environment.is_file() else None) or {}
    seconds = budget.get("seconds")
    named = None if seconds is None else f"{seconds:g} s of {_label(recipe)}"
    if role == "baseline_seconds" or (role == "baseline" and recipe.get("baseline") == "equal-seconds"):
        named = f"the seconds of {_label(recipe)}"
    if named is None:
        return own
    # Milestones of the student alone follow its steps.
    optimizer = {key: value for key, value in (own.get("optimizer") or {}).items() if key != "milestones"}
    return {**own, "training": {**(own.get("training") or {}), "steps": named}, "optimizer": optimizer}


def _alone(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe without its teacher."""
    return {key: value for key, value in recipe.items() if key not in ("teacher", "distill", "baseline")}


def _label(recipe: Mapping[str, Any]) -> str:
    """Name a recipe by its methods; without terms it is the student alone."""
    terms = recipe.get("distill") or []
    methods = list(dict.fromkeys(str(term.get("method", "?")) for term in terms))
    return " + ".join(methods) or _ALONE


def _facts(folder: Path, results: Mapping[str, Any], recipe: Mapping[str, Any]) -> dict[str, str]:
    """Collect what must be equal for scores to be comparable."""
    by_class = (results.get("metrics") or {}).get("by_class") or {}
    classes = sorted((results["student"].get(by_class.get("key", "")) or {}).keys())
    facts = {
        "task": str(results.get("task")),
        "split": str(results.get("split")),
        "classes": ", ".join(classes),
        "evaluation": str(sorted((recipe.get("evaluation") or {}).items())),
        "size": str({key: (recipe.get("data") or {}).get(key) for key in ("resize", "short_side", "long_side")}),
    }
    path = folder / "environment.json"
    if path.is_file():
        inputs = read_document(path).get("inputs") or {}
        facts["data"] = str(((inputs.get("data") or {}).get("val") or {}).get("digest"))
    return facts


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        return list(csv.DictReader(io.StringIO(load_text(path))))
    except (OSError, ValueError):
        return []


def _curve(path: Path, headline: str) -> list[tuple[int, float, float]]:
    """Return (step, headline, seconds of the steps until then) of every validation."""
    points = []
    seconds, step_before = 0.0, 0
    for row in _rows(path):
        step = int(float(row.get("step") or 0))
        each = row.get("seconds_per_step")
        if each:
            seconds += float(each) * max(0, step - step_before)
            step_before = step
        value = row.get(f"val/{headline}")
        if value:
            points.append((step, float(value), seconds))
    return points


def _seconds(path: Path) -> float | None:
    """Return the seconds of all steps, from the time of a step at each row; None without rows."""
    total, before = 0.0, 0
    rows = _rows(path)
    for row in rows:
        step = int(float(row.get("step") or 0))
        if row.get("seconds_per_step"):
            total += float(row["seconds_per_step"]) * max(0, step - before)
            before = step
    return total if before else None


def _milliseconds(latency: Mapping[str, Any], role: str) -> float | None:
    """Return what results.json knows of a model's time, see :func:`densekd.run.latency.measure`."""
    # The student alone is one network, however long it was trained, and is timed once.
    timed = "baseline" if role == "baseline_seconds" else role
    models = latency.get("milliseconds")
    value = models.get(timed) if isinstance(models, Mapping) else None
    return float(value) if isinstance(value, (int, float)) else None
