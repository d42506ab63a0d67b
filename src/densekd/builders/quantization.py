"""Quantization of a recipe's student, and what its training does beside the steps."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import nn

from densekd.data.contract import TrainingData
from densekd.data.loaders import TrainingLoader
from densekd.data.sampler import ONE_PROCESS, StepSampler
from densekd.distill.quantization import QuantizationAwareTraining, RangeSchedule
from densekd.errors import RecipeError, UserError
from densekd.quantize import QuantizationPlan, apply_plan, describe_plan, make_plan
from densekd.recipe import Recipe


class QuantizedStudent(NamedTuple):
    """How a student was quantized.

    Args:
        plan: which of its layers and tensors are.
        callback: measures and freezes the ranges of its activations in a training.
        note: what people should know, a sentence.
    """

    plan: QuantizationPlan
    callback: QuantizationAwareTraining
    note: str


def quantize_student(recipe: Recipe, student: nn.Module, samples: TrainingData) -> QuantizedStudent | None:
    """Quantize the student in place where the recipe says so; None where it stays float.

    Args:
        recipe: ``training.quantise`` and the size of the images.
        student: float, with its weights.
        samples: the augmented training set, on which ranges are measured before the first step.

    Raises:
        RecipeError: a name in ``keep_float`` that the student does not have, or nothing to quantize.
    """
    settings = recipe.training.quantise
    if settings is None:
        return None
    # The values do not matter, and the training's generators stay as they are.
    images = torch.full((1, recipe.data.channels, *recipe.probe_size), 0.5)
    try:
        plan = make_plan(student, images, settings.keep_float, settings.activations, settings.steps)
    except UserError as error:
        raise RecipeError(f"training.quantise: {error}") from error
    note = describe_plan(plan, student)
    apply_plan(student, plan)
    schedule = RangeSchedule(settings.momentum, settings.freeze_batchnorm, settings.freeze_observers)
    callback = QuantizationAwareTraining(_calibration(recipe, samples), schedule)
    return QuantizedStudent(plan, callback, note)


def _calibration(recipe: Recipe, samples: TrainingData) -> Callable[[], Iterable[Any]]:
    """Return what makes the first batches of a training, in every process the same ones."""
    assert recipe.training.quantise is not None
    wanted = recipe.training.quantise.calibrate
    size = min(wanted, recipe.data.batch_size)
    count = -(-wanted // size)

    def batches() -> Iterable[Any]:
        sampler = StepSampler(len(samples), size, count, recipe.training.seed, ONE_PROCESS)
        loader: Iterable[Any] = TrainingLoader(samples, sampler, workers=0)
        return loader

    return batches
