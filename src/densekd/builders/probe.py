"""Probe batch of a recipe: the one image that terms are measured and tried out on, and a small view of it."""

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from densekd.data.contract import Files
from densekd.distill.wiring import ProbeBatch
from densekd.recipe import Recipe
from densekd.tasks import Task

_Answer = TypeVar("_Answer")
# What the strides of all models divide, and a pyramid of seven levels still fits.
_SMALL = 128


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


def ask_small(question: Callable[[Tensor], _Answer], images: Tensor) -> _Answer:
    """Ask a model what does not depend on the size of its images: on a small view, at a small cost.

    Args:
        question: runs the model on images.
        images: ``[B, C, H, W]``; asked about themselves where the model takes no other size.
    """
    view = small_view(images)
    if view.shape != images.shape:
        try:
            return question(view)
        except Exception:
            # A model may take images of one size alone; whatever else is wrong is said below.
            pass
    return question(images)


def small_view(images: Tensor) -> Tensor:
    """Return a corner of images whose sides are what they were modulo 128: a model pads it as it pads the whole."""
    height, width = images.shape[-2:]
    return images[..., : _small(height), : _small(width)]


def _small(side: int) -> int:
    """Return the shortest side of at least 128 pixels with the same remainder."""
    return side if side < 2 * _SMALL else _SMALL + side % _SMALL
