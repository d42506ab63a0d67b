"""Probe batch of a recipe: the one image that terms are measured and tried out on."""

import torch

from densekd.data.contract import Files
from densekd.distill.wiring import ProbeBatch
from densekd.recipe import Recipe
from densekd.tasks import Task


def probe_batch(recipe: Recipe, training: Files, task: Task) -> ProbeBatch:
    """Make a batch of one random image, with a target of the task and what losses are told.

    Args:
        recipe: says how large crops are, and the teacher's precision.
        training: the files of the training split.
        task: that the student is scored by.
    """
    classes = training.classes
    return ProbeBatch(
        images=torch.rand(1, recipe.data.channels, *recipe.probe_size),
        target=task.probe_target(recipe.probe_size, training.labels),
        facts={"num_classes": len(classes.names), "ignore_index": classes.ignore_index},
        sizes="many" if recipe.augment.crop is None else "one",
        labels=training.labels,
        teacher_precision=recipe.teacher_precision,
    )
