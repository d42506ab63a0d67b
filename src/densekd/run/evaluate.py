"""Scores and predictions of a model that lies in a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densekd.builders.task import packaged_task
from densekd.data.bands import bands_of, with_bands
from densekd.data.class_order import follow, notes_of, with_notes
from densekd.data.contract import Files
from densekd.data.picture import band_count, set_max_megapixels
from densekd.data.picture_notes import notes_of_pictures
from densekd.errors import RecipeError, UserError
from densekd.models.classes import are_unnamed
from densekd.models.open import Opened, open_model
from densekd.models.package import PackageConfig
from densekd.ops.finite import output_of
from densekd.recipe import EvaluationSpec, Recipe, change_evaluation, load_recipe
from densekd.run.devices import AUTO, named_device
from densekd.run.evaluation_data import Asked, EvaluationSource, asked_recipe, from_folder, from_recipe
from densekd.run.image_headline import worst_images
from densekd.run.image_scores import add_image_scores
from densekd.tasks.protocol import BY_IMAGE, Predictor, Scores, Task


def predictor_of(
    opened: Opened, path: Path, changes: Sequence[str], recipe: Recipe | None = None, device: str = AUTO
) -> Predictor:
    """Return what predicts pictures with a model, in the mode its recipe names, changed by ``key=value``.

    Args:
        opened: the model.
        path: where it was opened, to find the recipe of its run.
        changes: ``key=value`` of the recipe's evaluation part.
        recipe: in place of that of its run.
        device: where it runs, see :class:`Placement`.

    Raises:
        UserError: an unknown key, a wrong value, or no such device.
    """
    where = named_device(device)
    task = packaged_task(opened.config, evaluation_of(path, changes, recipe))
    return task.predictor(opened.model.to(where), opened.config)


@dataclass(frozen=True)
class Placement:
    """Where a finished model runs, and how its images are loaded.

    Args:
        device: ``auto``, a GPU where there is one; ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        workers: loading processes.
        batch: images that are loaded together; those of one size go through the model together. None: the
            task's.
    """

    device: str = AUTO
    workers: int = 0
    batch: int | None = None

    def loading(self) -> dict[str, int]:
        """Return the arguments of :meth:`Task.scores`; a task of others need not know batches."""
        batch = {} if self.batch is None else {"batch": self.batch}
        return {"workers": self.workers, **batch}


def evaluate_path(model: Path, data: Path | None, split: str | None, changes: Sequence[str] = ()) -> dict[str, Any]:
    """Open a model and score it, see :func:`evaluate_opened`."""
    return evaluate_opened(open_model(model), model, Asked(data, None, split), changes)


def evaluate_opened(
    opened: Opened, path: Path, asked: Asked, changes: Sequence[str] = (), placement: Placement | None = None
) -> dict[str, Any]:
    """Score a model on a data folder, a recipe's data, or the data of the model's own run.

    Args:
        opened: the model, see :func:`densekd.models.open.open_model`.
        path: where it was opened.
        asked: on what.
        changes: ``key=value`` of the recipe's evaluation part.
        placement: where the model runs; None: on a GPU where there is one.

    Returns:
        ``model``, ``split``, ``task``, ``metrics`` (what the scores are called), the scores, ``worst``, the images
        that score worst, where that is known, and ``notes``, if there is something that people should know of the data.

    Raises:
        UserError: nothing to evaluate on, another kind of data, or other classes than the model's.
    """
    config = opened.config
    task, files, source = scored_on(opened, path, asked, changes)
    placement = placement or Placement()
    device = named_device(placement.device)
    # A package knows its size of images; of a file of another project the recipe does.
    resize = config.resize if opened.origin is None else source.resize
    with output_of(str(path), opened.model):
        scores = task.scores(opened.model.to(device), files, resize, **placement.loading())
    found = {"model": str(path), "split": source.split, **describe_scores(config.task, task, scores)}
    worst = worst_images(scores.get(BY_IMAGE), files, task.metrics.headline)
    if worst:
        found["worst"] = worst
    notes = [*notes_of(files), *notes_of_pictures(files)]
    # A run that was evaluated as it was trained gets what it lacks for being compared.
    if asked == Asked() and not changes:
        kept = add_image_scores(path, scores.get(task.metrics.headline.key), scores.get(BY_IMAGE))
        notes += [] if kept is None else [kept]
    return found | {"notes": notes} if notes else found


def scored_on(
    opened: Opened, path: Path, asked: Asked, changes: Sequence[str] = ()
) -> tuple[Task, Files, EvaluationSource]:
    """Return what scores a model, the images in the model's classes, and where they come from.

    Arguments and errors as of :func:`evaluate_opened`.
    """
    named = asked_recipe(asked.recipe)
    # What is given as data may be a recipe itself.
    of_data = asked_recipe(asked.data)
    task = packaged_task(opened.config, evaluation_of(path, changes, named, of_data))
    source = _source(path, asked, named or of_data, opened)
    return task, fitting(task, opened, _read_alike(source, opened.config)), source


def _read_alike(source: EvaluationSource, config: PackageConfig) -> Files:
    """Read the bands of the images that a model was trained on, where no recipe says which are read.

    Raises:
        UserError: a recipe that reads other bands.
    """
    if source.bands == "model":
        return with_bands(source.files, config.bands)
    bands = bands_of(source.files)
    if band_count(bands) != band_count(config.bands):
        raise UserError(f"the model takes images of bands {config.bands}, and the recipe's data.bands is {bands}.")
    return source.files


def _source(path: Path, asked: Asked, recipe: Recipe | None, opened: Opened) -> EvaluationSource:
    """Find what a model is scored on: a recipe's data, a folder's, or those of its run."""
    # Beside a recipe, a folder is where its data is.
    folder = asked.data if asked_recipe(asked.data) is None else None
    if recipe is not None:
        return from_recipe(recipe, folder, asked.split)
    if folder is not None:
        return from_folder(folder, asked.split, opened)
    own = recipe_of(path)
    if own is None:
        raise UserError(f"{path} lies in no run folder; say what to evaluate on: --data FOLDER or --recipe NAME.")
    return from_recipe(load_recipe(own), None, asked.split)


def describe_scores(name: str, task: Task, scores: Scores) -> dict[str, Any]:
    """Return scores with the name of their task and what they are called, for the tables on screen.

    Args:
        name: of the task.
        task: for the names of its scores.
        scores: of one model.
    """
    # What is known of every image is for the files of runs.
    shown = {key: value for key, value in scores.items() if key != BY_IMAGE}
    return {"task": name, "metrics": task.metrics.to_json(), **shown}


def evaluation_of(
    model: Path, changes: Sequence[str], named: Recipe | None = None, of_data: Recipe | None = None
) -> EvaluationSpec:
    """Return the evaluation part of a recipe, with changes.

    Args:
        model: the recipe of the run that it lies in is asked first.
        changes: ``key=value``.
        named: a recipe that comes before it.
        of_data: a recipe that comes after it.

    Raises:
        RecipeError: a change that is not ``key=value``.
    """
    recipe = named
    own = recipe_of(model)
    if recipe is None and own is not None:
        recipe = load_recipe(own)
    recipe = recipe or of_data
    if recipe is not None:
        set_max_megapixels(recipe.data.max_megapixels)
    return change_evaluation(EvaluationSpec() if recipe is None else recipe.evaluation, changes)


def recipe_of(model: Path) -> Path | None:
    """Return the recipe of the run folder that a model lies in."""
    for folder in (model, model.parent, model.parent.parent):
        if (folder / "recipe.yaml").is_dir():
            raise UserError(f"{folder / 'recipe.yaml'}: a folder stands in place of the file. Put back a copy of it.")
        if (folder / "recipe.yaml").is_file():
            return folder / "recipe.yaml"
    return None


def fitting(task: Task, opened: Opened, files: Files) -> Files:
    """Return the data in the model's classes, compared by name; refuse data of another kind or of other classes.

    Numbers of classes, from a file that has no names, fit any names.
    """
    if not isinstance(files, task.files_type):
        raise UserError(f"the model was made for {task.files_type.holds}, and the data has {files.holds}.")
    classes, own = opened.classes, files.classes
    numbered = are_unnamed(classes) and len(classes.names) == len(own.names)
    if numbered or own.names == classes.names:
        return files
    try:
        files, note = follow(files, classes, opened.config.categories, "the data", "the model")
    except RecipeError as error:
        raise UserError(str(error)) from error
    return with_notes(files, note)
