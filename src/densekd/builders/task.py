"""The task, and how whole images are predicted for it."""

import math

import torch
from torch import Tensor

from densekd.builders.data import Files
from densekd.data.detection import DetectionFiles
from densekd.data.segmentation import class_frequency
from densekd.data.unlabelled import has_labels
from densekd.errors import RecipeError
from densekd.inference import Inference, Window
from densekd.recipe import EvaluationSpec, Recipe
from densekd.tasks import Detection, Segmentation, balanced_weights


def build_task(recipe: Recipe, files: Files) -> Segmentation | Detection:
    """Build the task that scores the student; balanced class weights are counted on the training labels.

    Raises:
        RecipeError: a task that is not that of the data.
    """
    spec, C = recipe.task, len(files.classes.names)
    if isinstance(files, DetectionFiles):
        if spec.kind == "segmentation":
            raise RecipeError(f"data.dataset: {recipe.data.dataset} has boxes; say 'task: {{kind: detection}}'.")
        return Detection(C)
    if spec.kind == "detection":
        raise RecipeError(f"task.kind is detection, but {recipe.data.dataset} has label maps, not boxes.")
    if spec.kind != "none" and not has_labels(files):
        raise RecipeError(
            "data: these images have no labels; say 'task: {kind: none}' to learn from the teacher alone."
        )
    weights: Tensor | None = None
    if spec.class_weights == "balanced":
        weights = balanced_weights(class_frequency(files))
    elif not isinstance(spec.class_weights, str):
        if len(spec.class_weights) != C:
            raise RecipeError(f"task.class_weights: {len(spec.class_weights)} values for {C} classes.")
        weights = torch.tensor(spec.class_weights)
    task = Segmentation(C, files.classes.ignore_index, weights, spec.auxiliary_weight, spec.normalize)
    task.inference = build_inference(recipe.evaluation)
    return task


def build_inference(spec: EvaluationSpec) -> Inference:
    """Build the mode in which whole images are predicted."""
    window = None
    if spec.crop is not None:
        height, width = spec.crop
        window = Window(spec.crop, spec.stride or (math.ceil(height * 2 / 3), math.ceil(width * 2 / 3)))
    return Inference(window, spec.scales, spec.flip, spec.average)
