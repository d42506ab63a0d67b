"""Scores and predictions of a model that lies in a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from densekd.builders.data import build_files
from densekd.builders.task import packaged_task
from densekd.data.classes import Classes
from densekd.data.contract import Files
from densekd.errors import UserError
from densekd.models.classes import are_unnamed
from densekd.models.open import Opened, open_model
from densekd.recipe import EvaluationSpec, change_evaluation, load_recipe
from densekd.tasks.protocol import Predictor, Scores, Task


def predictor_of(opened: Opened, path: Path, changes: Sequence[str]) -> Predictor:
    """Return what predicts pictures with a model, in the mode its recipe names, changed by ``key=value``.

    Args:
        opened: the model.
        path: where it was opened, to find the recipe of its run.
        changes: ``key=value`` of the recipe's evaluation part.

    Raises:
        UserError: an unknown key or a wrong value.
    """
    task = packaged_task(opened.config, evaluation_of(path, changes))
    return task.predictor(opened.model, opened.config)


def evaluate_path(model: Path, data: Path | None, split: str | None, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Open a model and score it, see :func:`evaluate_opened`."""
    return evaluate_opened(open_model(model), model, data, split, changes)


def evaluate_opened(
    opened: Opened, path: Path, data: Path | None, split: str | None, changes: Sequence[str] = ()
) -> dict[str, Any]:
    """Score a model on a data folder, a recipe's data, or the data of the model's own run.

    Args:
        opened: the model, see :func:`densekd.models.open.open_model`.
        path: where it was opened.
        data: a folder in the plain layout of the model's task, a recipe, or None for the recipe of
            the run the model lies in.
        split: None for the recipe's validation split, ``val`` for a folder.
        changes: ``key=value`` of the recipe's evaluation part.

    Returns:
        ``model``, ``split``, ``task``, ``metrics`` (what the scores are called), and the scores.

    Raises:
        UserError: nothing to evaluate on, another kind of data, or other classes than the model's.
    """
    config = opened.config
    task = packaged_task(config, evaluation_of(path, changes))
    if data is None:
        data = _recipe_of(path)
    if data is None:
        raise UserError(f"{path} lies in no run folder; say what to evaluate on: --data FOLDER-OR-RECIPE.")
    if data.is_dir() and not (data / "recipe.yaml").is_file():
        split = split or "val"
        files: Files = task.folder(data, split, config)
    else:
        spec = load_recipe(data / "recipe.yaml" if data.is_dir() else data).data
        split = split or spec.val
        files = build_files(spec, split)
    _require_fit(task, opened.classes, files)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scores = task.scores(opened.model.to(device), files, config.resize)
    return {"model": str(path), "split": split, **describe_scores(config.task, task, scores)}


def describe_scores(name: str, task: Task, scores: Scores) -> dict[str, Any]:
    """Return scores with the name of their task and what they are called, for the tables on screen.

    Args:
        name: of the task.
        task: for the names of its scores.
        scores: of one model.
    """
    return {"task": name, "metrics": task.metrics.to_json(), **scores}


def evaluation_of(model: Path, changes: Sequence[str]) -> EvaluationSpec:
    """Return the evaluation part of the recipe of the model's run, if it lies in one, with changes.

    Raises:
        RecipeError: a change that is not ``key=value``.
    """
    recipe = _recipe_of(model)
    return change_evaluation(EvaluationSpec() if recipe is None else load_recipe(recipe).evaluation, changes)


def _recipe_of(model: Path) -> Path | None:
    """Return the recipe of the run folder that a model lies in."""
    for folder in (model, model.parent, model.parent.parent):
        if (folder / "recipe.yaml").is_file():
            return folder / "recipe.yaml"
    return None


def _require_fit(task: Task, classes: Classes, files: Files) -> None:
    """Refuse data of another kind or of other classes.

    Numbers of classes, from a file that has no names, fit any names.
    """
    if not isinstance(files, task.files_type):
        raise UserError(f"the model was made for {task.files_type.holds}, and the data has {files.holds}.")
    names = files.classes.names
    numbered = are_unnamed(classes) and len(classes.names) == len(names)
    if classes.names != names and not numbered:
        raise UserError(
            f"the model's {len(classes.names)} classes ({', '.join(classes.names)}) are not the data's {len(names)} "
            f"({', '.join(names)})."
        )
