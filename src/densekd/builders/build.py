"""From a recipe to live objects: the only place where strings become things."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import nn

from densekd.builders.bands import with_statistics
from densekd.builders.data import build_files, build_validation, build_views
from densekd.builders.models import Models, build_models, package_config
from densekd.builders.probe import ask_small, probe_batch
from densekd.builders.quantization import quantize_student
from densekd.builders.student_classes import in_order_of_training
from densekd.builders.task import build_task, task_name
from densekd.builders.teacher import Teacher, prepare_teacher
from densekd.builders.teacher_cache import Cache
from densekd.builders.teacher_classes import use_of_teacher
from densekd.builders.terms import plan_terms
from densekd.data.class_order import notes_of
from densekd.data.contract import Files, TrainingData
from densekd.distill.distiller import Distiller
from densekd.distill.optimizers import OptimizerConfig
from densekd.distill.probe import at_rest
from densekd.distill.quantization import QuantizationAwareTraining
from densekd.distill.wiring import wire_terms
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
        scored_teacher: the teacher's model, when it predicts the data's classes and can be scored;
            None when there is none or when it only teaches features.
        notes: what people should know of the two models before the training.
        quantization: follows the ranges of a quantized student; None where it is float.
    """

    distiller: Distiller
    training: TrainingData
    validation: Files
    package: PackageConfig
    task: Task
    teacher: Teacher | None
    scored_teacher: nn.Module | None
    notes: tuple[str, ...] = ()
    quantization: QuantizationAwareTraining | None = None

    @property
    def learns_from_labels(self) -> bool:
        """Whether the student learns from labels as well, and not from its teacher alone."""
        return not isinstance(self.distiller.task, NoTask)

    @property
    def cache(self) -> Cache | None:
        """The teacher cache, if the recipe wants one."""
        return None if self.teacher is None else self.teacher.cache

    @property
    def samples(self) -> TrainingData | CachedSamples:
        """Samples of the training: the augmented set, or its views in the teacher cache."""
        if self.cache is None:
            return self.training
        return CachedSamples(self.cache.writer.views, self.cache.store)


def build(recipe: Recipe) -> Built:
    """Build data, models, terms and the distiller.

    The student is initialized first and under the recipe's seed alone, so that it starts from the
    same weights with and without a teacher.

    Raises:
        UserError: anything that the recipe names and that is missing, damaged or does not fit.
    """
    # Probing runs what the steps will run.
    with using(recipe.kernels):
        return _build(recipe)


def _build(recipe: Recipe) -> Built:
    # A misspelled option is found before data is searched and models are read.
    plans = plan_terms(recipe)
    training = build_files(recipe.data, recipe.data.train)
    if recipe.lacks_statistics:
        recipe = with_statistics(recipe, training)
    validation = build_validation(recipe.data, training)
    views = build_views(recipe)
    # The task that the student is scored by; without labels it has no loss of its own.
    scored_as = build_task(recipe, training)
    name = task_name(recipe, training)
    # The models: the student first, so that a teacher changes nothing in how it begins.
    torch.manual_seed(recipe.training.seed)
    use = use_of_teacher(plans.values(), recipe.student.inherit)
    models = build_models(recipe, training, use)
    # A student that begins with a checkpoint keeps the order of its classes, and the data follows.
    if models.files is not training:
        training, validation = models.files, in_order_of_training(validation, models.files)
        scored_as = build_task(recipe, training)
    task = scored_as if recipe.task.has_own_loss else NoTask(scored_as)
    samples = scored_as.training_set(training, views)
    package = package_config(recipe, models.student, training, scored_as, name)
    # What is compared between the two models; shapes are measured on the whole teacher.
    terms, teacher = {}, None
    if models.teacher is not None:
        probe = probe_batch(recipe, training, scored_as)
        terms = wire_terms(plans, models.student.model, models.teacher, probe)
        teacher = prepare_teacher(recipe, models.teacher, terms, samples)
    features = None if teacher is None else teacher.features
    # Last of all: what was measured and compared so far is the float student.
    notes = (*notes_of(training), *notes_of(validation), *models.notes)
    quantized = quantize_student(recipe, models.student.model, samples)
    if quantized is not None:
        package = replace(package, quantization=quantized.plan.entries())
        notes = (*notes, quantized.note)
    config = OptimizerConfig(**recipe.optimizer.model_dump(), steps=recipe.training.length)
    synced = recipe.training.sync_batchnorm
    distiller = Distiller(models.student.model, features, task, terms, config, recipe.kernels, synced)
    if recipe.training.compile != "none":
        distiller.compile_student(recipe.training.compile)
    scored = _scored_teacher(models, scored_as, (recipe.data.channels, *recipe.probe_size))
    followed = None if quantized is None else quantized.callback
    notes = tuple(dict.fromkeys(notes))
    return Built(distiller, samples, validation, package, scored_as, teacher, scored, notes, followed)


def _scored_teacher(models: Models, scored_as: Task, shape: Sequence[int]) -> nn.Module | None:
    """Return the teacher where the task can score an image of ``shape``; None for features alone and other classes."""
    if models.teacher is None or not models.scorable:
        return None
    with at_rest(models.teacher):
        fits = ask_small(partial(scored_as.fits, models.teacher), torch.rand(1, *shape))
    return models.teacher if fits else None
