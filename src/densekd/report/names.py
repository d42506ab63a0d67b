"""What the scores of a run are called: as its files say, or as the task that they name says."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densekd.doors import TASK
from densekd.errors import UserError
from densekd.metric_names import MetricNames
from densekd.parsers import load_json, load_yaml
from densekd.registry import resolve
from densekd.seal import read_document
from densekd.trust import names_of_file


def names_of(results: Mapping[str, Any], path: Path) -> MetricNames:
    """Return the names of the scores in a results file.

    Args:
        results: its content. One that does not describe its scores is read by the task that it
            names; one that names no task either, by that of its run.
        path: where it lies.

    Raises:
        ValueError: nothing says the task, or the description is malformed.
    """
    described = results.get("metrics")
    if described is not None:
        return MetricNames.from_json(described)
    task = results.get("task") or _task_of_run(path.parent)
    if not isinstance(task, str):
        raise ValueError(
            "'task' is missing, and no recipe.yaml or student/config.json beside the file says it; write for instance "
            '"task": "segmentation" into the file'
        )
    return task_names(task)


def names_in(folder: Path) -> MetricNames | None:
    """Return the names of the scores in a run's ``metrics.csv``, or None where nothing says its task.

    Args:
        folder: of the run; ``metrics.json`` describes the columns, and in older runs the recipe
            names the task.

    Raises:
        UserError: ``metrics.json`` is malformed.
    """
    path = folder / "metrics.json"
    if path.is_file():
        try:
            return MetricNames.from_json(read_document(path)["metrics"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: does not describe the columns of metrics.csv ({error!r}).") from error
    task = _task_of_run(folder)
    if task is None:
        return None
    return task_names(task)


def task_names(task: str) -> MetricNames:
    """Return the names of the scores of a task: a name of ``TASKS`` or ``package.module:Name``."""
    # Only files that do not describe their scores need the task itself, which imports torch.
    from densekd.tasks import TASKS

    with names_of_file("a results file"):
        names: MetricNames = resolve(task, TASKS, "task", door=TASK).metrics  # type: ignore[attr-defined]
    return names


def _task_of_run(folder: Path) -> str | None:
    """Return the task that a run's student package or recipe names."""
    package, recipe = folder / "student" / "config.json", folder / "recipe.yaml"
    try:
        if package.is_file():
            task = load_json(package, small=True).get("task")
            if isinstance(task, str):
                return task
        if recipe.is_file():
            section = load_yaml(recipe).get("task") or {}
            kind = section.get("kind", "segmentation")
            # Without a task of its own, a recipe does not say what its data is.
            if isinstance(kind, str) and kind != "none":
                return kind
    except (OSError, ValueError, AttributeError):
        # The files are a side note here; whoever needs them says what is wrong with them.
        return None
    return None
