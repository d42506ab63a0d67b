"""From a recipe to live objects: the only place where strings become things; each part has its file in ``parts/``."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from densekd.builders.data import Augmented, Files, build_files, build_training_set
from densekd.builders.models import (
    PROBE,
    at_rest,
    build_model,
    build_teacher,
    describe_model,
    freeze,
    inherit,
    map_classes,
    package_config,
    probe,
)
from densekd.builders.task import build_inference, build_task
from densekd.builders.teacher_cache import Cache, build_cache
from densekd.builders.terms import build_terms
from densekd.data.unlabelled import has_labels
from densekd.distill.distiller import Distiller
from densekd.distill.optimizers import OptimizerConfig
from densekd.kernels import using
from densekd.models.package import PackageConfig
from densekd.recipe import Recipe
from densekd.tasks import NoTask
from densekd.teacher_cache import CachedSamples

__all__ = [
    "Built",
    "Cache",
    "Files",
    "build",
    "build_files",
    "build_inference",
    "build_model",
    "build_teacher",
    "build_terms",
    "probe",
]


@dataclass(frozen=True)
class Built:
    """Everything that a training needs.

    Args:
        distiller: the module to fit.
        training: the augmented training set.
        validation: the files of the validation split.
        package: what the exported student says of itself.
        scored_teacher: the teacher, when it predicts the data's classes and can be scored; None when there is none or
            when it only teaches features.
        cache: of the teacher's tensors, if the recipe wants one.
        teacher_parameters: their number before batch norms were folded.
    """

    distiller: Distiller
    training: Augmented
    validation: Files
    package: PackageConfig
    scored_teacher: nn.Module | None
    cache: "Cache | None" = None
    teacher_parameters: int = 0

    @property
    def samples(self) -> Augmented | CachedSamples:
        """What the training reads: the augmented set, or its replayed views with what the teacher said of them."""
        return self.training if self.cache is None else CachedSamples(self.cache.filling.views, self.cache.store)


def build(recipe: Recipe) -> Built:
    """Build data, models, terms and the distiller.

    The student is initialized first and under the recipe's seed alone, so that it starts from the same weights with and
    without a teacher.

    Raises:
        UserError: anything that the recipe names and that is missing, damaged or does not fit.
    """
    with using(recipe.kernels):
        return _build(recipe)


def _build(recipe: Recipe) -> Built:
    training, validation = (build_files(recipe.data, split) for split in (recipe.data.train, recipe.data.val))
    classes = training.classes
    torch.manual_seed(recipe.training.seed)
    student = build_model(recipe.student, len(classes.names), "student")
    teacher = None
    if recipe.teacher is not None:
        teacher = build_teacher(recipe.teacher, len(classes.names))
        inherit(student, teacher, recipe.student.inherit)
        teacher = map_classes(recipe.teacher, teacher, classes)
    labels: Literal["present", "absent"] = "present" if has_labels(training) else "absent"
    size = recipe.augment.crop or PROBE
    scored_as = build_task(recipe, training)
    task = NoTask(scored_as) if recipe.task.kind == "none" else scored_as
    terms = {} if teacher is None else build_terms(recipe, student, teacher, classes, labels)
    views = build_training_set(recipe, training)
    frozen, cache, count = None, None, 0
    if teacher is not None:
        count = sum(p.numel() for p in teacher.parameters())
        digest = describe_model(teacher)
        frozen = freeze(recipe, teacher, terms)
        cache = build_cache(recipe, frozen, digest, views)
    teaching = frozen if cache is None else cache.replay
    distiller = Distiller(student, teaching, task, terms, _optimizer_config(recipe), kernels=recipe.kernels)
    if recipe.training.compile == "inductor":
        distiller.compile_student()
    scored = None
    if teacher is not None:
        with at_rest(teacher):
            scored = teacher if scored_as.fits(teacher, torch.rand(1, 3, *size)) else None
    package = package_config(recipe, student, training)
    return Built(distiller, views, validation, package, scored, cache, count)


def _optimizer_config(recipe: Recipe) -> OptimizerConfig:
    return OptimizerConfig(**recipe.optimizer.model_dump(), steps=recipe.training.steps)
