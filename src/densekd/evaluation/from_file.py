"""Scores and predictions of a model that lies in a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from densekd.builders.data import Files, build_files
from densekd.builders.task import build_inference
from densekd.data.files import SegmentationFiles, pair_by_stem
from densekd.data.folder import folder
from densekd.errors import UserError
from densekd.evaluation.by_task import evaluate
from densekd.evaluation.predict import Predictor
from densekd.evaluation.predict_boxes import BoxPredictor
from densekd.evaluation.segmentation import scoring_of
from densekd.models.open import UNNAMED, classes_of, open_model
from densekd.models.package import Package
from densekd.recipe import EvaluationSpec, change_evaluation, load_recipe


def open_predictor(path: Path, changes: Sequence[str]) -> Predictor | BoxPredictor:
    """Open a model to label pictures with, in the mode its recipe names, changed by ``key=value``, or a detector.

    Raises:
        UserError: as :func:`open_model`; an unknown key or a wrong value.
    """
    model, config = open_model(path)
    inference = build_inference(evaluation_of(path, changes))
    if hasattr(model, "detect"):
        categories = tuple(config.categories or range(1, len(config.classes) + 1))
        return BoxPredictor(model, classes_of(config), categories, config.resize)
    return Predictor(model, classes_of(config), config.resize, inference)


def evaluate_path(model: Path, data: Path | None, split: str | None, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Score a model file on a data folder, a recipe's data, or the data of the model's own run.

    Args:
        model: see :func:`open_model`.
        data: a folder in the ``folder`` layout (without ``classes.json`` the model's classes are taken), a recipe, or
            None for the recipe of the run the model lies in.
        split: None for the recipe's validation split, ``val`` for a folder.
        changes: ``key=value`` of the recipe's evaluation part.

    Raises:
        UserError: nothing to evaluate on, or other classes than the model's.
    """
    package = open_model(model)
    files, split = _files(model, package, data, split)
    unnamed = package.config.classes == [UNNAMED.format(k) for k in range(len(files.classes.names))]
    if files.classes.names != tuple(package.config.classes) and not unnamed:
        raise UserError(
            f"the model's {len(package.config.classes)} classes ({', '.join(package.config.classes)}) are not the "
            f"data's {len(files.classes.names)} ({', '.join(files.classes.names)})."
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    scoring = scoring_of(evaluation_of(model, changes))
    scores = evaluate(package.model.to(device), files, package.config.resize, scoring)
    return {"model": str(model), "split": split, **scores}


def evaluation_of(model: Path, changes: Sequence[str]) -> EvaluationSpec:
    """Return the evaluation part of the recipe of the model's run, if it lies in one, with changes.

    Raises:
        RecipeError: an unknown key or a wrong value.
    """
    recipe = _recipe_of(model)
    return change_evaluation(EvaluationSpec() if recipe is None else load_recipe(recipe).evaluation, changes)


def _recipe_of(model: Path) -> Path | None:
    """Return the recipe of the run folder that a model lies in."""
    candidates = (folder / "recipe.yaml" for folder in (model, model.parent, model.parent.parent))
    return next((path for path in candidates if path.is_file()), None)


def _files(model: Path, package: Package, data: Path | None, split: str | None) -> tuple[Files, str]:
    if data is None:
        data = _recipe_of(model)
        if data is None:
            raise UserError(f"{model} lies in no run folder; say what to evaluate on: --data FOLDER-OR-RECIPE.")
    if data.is_dir() and not (data / "recipe.yaml").is_file():
        split = split or "val"
        if (data / "classes.json").is_file():
            return folder(data, split), split
        pairs = pair_by_stem(data / "images" / split, data / "labels" / split)
        return SegmentationFiles(classes_of(package.config), pairs), split
    spec = load_recipe(data / "recipe.yaml" if data.is_dir() else data).data
    return build_files(spec, split or spec.val), split or spec.val
