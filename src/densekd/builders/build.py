"""From a recipe to live objects: the only place where strings become things; each part has its file in ``parts/``."""

from dataclasses import dataclass

import torch
from torch import nn

from densekd.builders.data import build_files, build_training_set
from densekd.builders.models import (
    PROBE,
    build_model,
    build_teacher,
    describe_model,
    freeze,
    inherit,
    map_classes,
    package_config,
)
from densekd.builders.task import build_task, task_name
from densekd.builders.teacher_cache import Cache, build_cache
from densekd.builders.terms import build_terms
from densekd.data.contract import Files, TrainingData
from densekd.distill.distiller import Distiller
from densekd.distill.optimizers import OptimizerConfig
from densekd.distill.probe import at_rest, probe
from densekd.kernels import using
from densekd.models.package import PackageConfig
from densekd.recipe import Recipe
from densekd.tasks import NoTask, Task
from densekd.teacher_cache import CachedSamples

__all__ = [
    "Built",
    "Cache",
    "build",
    "build_files",
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
        task: that the student is scored by, also where it learns from the terms alone.
        scored_teacher: the teacher, when it predicts the data's classes and can be scored; None when there is none or
            when it only teaches features.
        cache: of the teacher's tensors, if the recipe wants one.
        teacher_parameters: their number before batch norms were folded.
        notes: what people should know of the two models before the training.
    """

    distiller: Distiller
    training: TrainingData
    validation: Files
    package: PackageConfig
    task: Task
    scored_teacher: nn.Module | None
    cache: "Cache | None" = None
    teacher_parameters: int = 0
    notes: tuple[str, ...] = ()

    @property
    def samples(self) -> TrainingData | CachedSamples:
        """What the training reads: the augmented set, or its replayed views with what the teacher said of them."""
        return self.training if self.cache is None else CachedSamples(self.cache.filling.views, self.cache.store)


def build(recipe: Recipe) -> Built:
    """Build data, models, terms and the distiller.

    The student is initialized first and under the recipe's seed alone, so that it starts from the same weights with and
    without a teacher.

    Raises:
        UserError: anything that the recipe names and that is missing, damaged or does not fit.
    """
    # Probing runs what the steps will run.
    with using(recipe.kernels):
        return _build(recipe)


def _build(recipe: Recipe) -> Built:
    training, validation = (build_files(recipe.data, split) for split in (recipe.data.train, recipe.data.val))
    classes = training.classes
    torch.manual_seed(recipe.training.seed)
    opened = build_model(recipe.student, len(classes.names), "student")
    student, notes = opened.model, opened.notes
    teacher = None
    if recipe.teacher is not None:
        found = build_teacher(recipe.teacher, len(classes.names))
        notes = (*notes, *found.notes)
        inherit(student, found.model, recipe.student.inherit)
        teacher = map_classes(recipe.teacher, found, classes)
    size = recipe.augment.crop or PROBE
    scored_as = build_task(recipe, training)
    task = scored_as if recipe.task.has_own_loss else NoTask(scored_as)
    views = build_training_set(recipe, training, scored_as)
    target = scored_as.probe_target(size, training.labels)
    terms = {} if teacher is None else build_terms(recipe, student, teacher, target, training)
    frozen, cache, count = None, None, 0
    if teacher is not None:
        count = sum(p.numel() for p in teacher.parameters())
        digest = describe_model(teacher)
        frozen = freeze(recipe, teacher, terms)
        cache = build_cache(recipe, frozen, digest, views)
    teaches = frozen if cache is None else cache.replay
    distiller = Distiller(student, teaches, task, terms, _optimizer_config(recipe), recipe.kernels)
    if recipe.training.compile == "inductor":
        distiller.compile_student()
    scored = None
    if teacher is not None:
        with at_rest(teacher):
            scored = teacher if scored_as.fits(teacher, torch.rand(1, 3, *size)) else None
    package = package_config(recipe, opened, training, scored_as, task_name(recipe, training))
    return Built(distiller, views, validation, package, scored_as, scored, cache, count, notes)


def _optimizer_config(recipe: Recipe) -> OptimizerConfig:
    return OptimizerConfig(**recipe.optimizer.model_dump(), steps=recipe.training.steps)
