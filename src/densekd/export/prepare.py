"""Prepare an export: find the validation images, choose the size, build the module and run it once."""

from pathlib import Path
from typing import Any

from densekd.builders.task import packaged_task
from densekd.data.contract import Files
from densekd.data.maps import Resize
from densekd.errors import UserError
from densekd.export.modules import checked_output
from densekd.export.options import ExportOptions
from densekd.export.sizes import module_of_size
from densekd.export.spec import GraphInput
from densekd.export.subject import Subject
from densekd.models import contract
from densekd.models.open import Opened
from densekd.run.evaluate import evaluation_of, scored_on
from densekd.run.evaluation_data import Asked, asked_recipe
from densekd.run.picture_size import default_size
from densekd.tasks.protocol import Task


def prepare(opened: Opened, name: Path, options: ExportOptions) -> Subject:
    """Return what is exported and what it is measured by.

    Args:
        opened: the model.
        name: where it was opened, to find the recipe of its run.
        options: how it is exported.

    Raises:
        UserError: an output that the task does not have, a size that the model cannot take, data that
            was asked for and cannot be read.
    """
    kind = checked_output(opened.config.task, options.output)
    evaluation = evaluation_of(name, (), None, asked_recipe(options.data)).options
    files, resize, unscored = validation_files(opened, name, options)
    size = options.size or default_size(opened.config.task, evaluation, resize, files)
    taken = GraphInput(size, options.batch, options.input, contract.bands(opened.model))
    module, outputs = module_of_size(opened, kind, taken)
    task = _task(opened, name, options, _changes(opened, evaluation, size))
    return Subject(name, opened, module, taken, outputs, kind, task, files, unscored)


def validation_files(opened: Opened, name: Path, options: ExportOptions) -> tuple[Files | None, Resize | None, str]:
    """Find the validation images of a model's run, what they are resized to, and why there are none.

    Raises:
        UserError: data that was asked for and cannot be read.
    """
    resize = opened.config.resize
    try:
        _, files, source = scored_on(opened, name, Asked(options.data))
    except UserError as error:
        # Without an order, missing data is no mistake: numbers are compared all the same.
        if options.data is not None:
            raise
        return None, resize, str(error)
    if opened.origin is not None:
        resize = source.resize
    if files.labels == "absent":
        return None, resize, "the validation images have no labels."
    return files, resize, ""


def _task(opened: Opened, name: Path, options: ExportOptions, changes: list[str]) -> Task:
    spec = evaluation_of(name, changes, None, asked_recipe(options.data))
    return packaged_task(opened.config, spec)


def _changes(opened: Opened, evaluation: dict[str, Any], size: tuple[int, int]) -> list[str]:
    """Return how an evaluation changes when all pictures have one size and are predicted once.

    Sliding windows stay where they are of that size.
    """
    if opened.config.task != "segmentation":
        return []
    changes = ["scales=[1.0]", "flip=none", "divisor=1"]
    crop = evaluation.get("crop")
    if crop is not None and tuple(crop) != size:
        changes += ["crop=null", "stride=null"]
    return changes
