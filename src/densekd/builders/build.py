"""From a recipe to live objects: the only place where strings become things; each section has its file beside this."""

from dataclasses import dataclass

import torch
from torch import nn

from densekd.builders.data import build_files, build_training_set
from densekd.builders.models import PROBE, build_model, build_teacher, inherit, map_classes, package_config
from densekd.builders.task import build_task, task_name
from densekd.builders.teacher import Teacher, prepare_teacher
from densekd.builders.teacher_cache import Cache
from densekd.builders.terms import build_terms, check_terms
from densekd.data.contract import Files, TrainingData
from densekd.distill.distiller import Distiller
from densekd.distill.optimizers import OptimizerConfig
from densekd.distill.probe import at_rest
from densekd.kernels import using
from densekd.models.package import PackageConfig
from densekd.recipe import Recipe
from densekd.tasks import NoTask, Task
from densekd.teacher_cache import CachedSamples


@dataclass(frozen=True)
class Built:
    """Everything that a training needs.

    Args:
        distiller: the module to fit.
        training: the augmented training set.
        validation: the files of the validation split.
        package: what the exported student says of itself.
        task: that the student is scored by, also where it learns from the terms alone.
        teacher: None where the student is trained alone.
        scored_teacher: the teacher's model, when it predicts the data's classes and can be scored; None when there is
            none or when it only teaches features.
        notes: what people should know of the two models before the training.
    """

    distiller: Distiller
    training: TrainingData
    validation: Files
    package: PackageConfig
    task: Task
    teacher: Teacher | None
    scored_teacher: nn.Module | None
    notes: tuple[str, ...] = ()

    @property
    def cache(self) -> Cache | None:
        """The teacher cache, if the recipe wants one."""
        return None if self.teacher is None else self.teacher.cache

    @property
    def samples(self) -> TrainingData | CachedSamples:
        """What the training reads: the augmented set, or its cached views with the teacher's features."""
        if self.cache is None:
            return self.training
        return CachedSamples(self.cache.filling.views, self.cache.store)


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
    # A misspelled option is found before data is searched and models are read.
    check_terms(recipe)
    training = build_files(recipe.data, recipe.data.train)
    validation = build_files(recipe.data, recipe.data.val)
    classes = training.classes
    # The models: the student first, so that a teacher changes nothing in how it begins.
    torch.manual_seed(recipe.training.seed)
    opened = build_model(recipe.student, len(classes.names), "student")
    student = opened.model
    notes = opened.notes
    teacher_model = None
    if recipe.teacher is not None:
        opened_teacher = build_teacher(recipe.teacher, len(classes.names))
        notes += opened_teacher.notes
        inherit(student, opened_teacher.model, recipe.student.inherit)
        teacher_model = map_classes(recipe.teacher, opened_teacher, classes)
    # The student's own task, and the views of the training images.
    scored_as = build_task(recipe, training)
    task = scored_as if recipe.task.has_own_loss else NoTask(scored_as)
    views = build_training_set(recipe, training, scored_as)
    # What is compared between the two models; shapes are measured on the whole teacher.
    size = recipe.augment.crop or PROBE
    terms, teacher = {}, None
    if teacher_model is not None:
        target = scored_as.probe_target(size, training.labels)
        terms = build_terms(recipe, student, teacher_model, target, training)
        teacher = prepare_teacher(recipe, teacher_model, terms, views)
    features = None if teacher is None else teacher.features
    config = OptimizerConfig(**recipe.optimizer.model_dump(), steps=recipe.training.steps)
    distiller = Distiller(student, features, task, terms, config, recipe.kernels)
    if recipe.training.compile == "inductor":
        distiller.compile_student()
    scored = None
    if teacher_model is not None:
        with at_rest(teacher_model):
            scored = teacher_model if scored_as.fits(teacher_model, torch.rand(1, 3, *size)) else None
    package = package_config(recipe, opened, training, scored_as, task_name(recipe, training))
    return Built(distiller, views, validation, package, scored_as, teacher, scored, notes)
