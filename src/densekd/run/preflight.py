"""Preflight of a training: data sampled, models built, a few steps run, memory and time."""

import sys
import tempfile
from datetime import timedelta
from pathlib import Path

import torch
from rich.table import Table
from rich.text import Text
from torch import nn

from densekd.builders.build import Built, build
from densekd.data.contract import subset
from densekd.distill.sync_batchnorm import describe_batch_norms
from densekd.distill.terms import Context, Term, paths
from densekd.doctor.case import Case
from densekd.doctor.examine import examine_case
from densekd.errors import see
from densekd.kernels import using
from densekd.kernels.first_use import describe
from densekd.recipe import Recipe
from densekd.run.automatic import decided, precision_remarks
from densekd.run.baseline import find_baselines
from densekd.run.budget import PROVISIONAL, measured, require_measurable, steps_in, with_length
from densekd.run.checks import SAMPLES, check_before_training
from densekd.run.data_wait import LARGE, advise, waits
from densekd.run.devices import training_device
from densekd.run.folder import RunFolder
from densekd.run.launch import Launch, count_devices, sharing_memory
from densekd.run.loggers import build_observers
from densekd.run.teacher_score import teacher_score
from densekd.run.warmup import Tried, as_one_of, share_of_one, try_steps
from densekd.teacher_cache import gigabytes


def check(recipe: Recipe, devices: str = "auto") -> Table:
    """Try a recipe without leaving anything behind.

    Args:
        recipe: as it would be trained.
        devices: as of a training, see :func:`densekd.run.launch.count_devices`. What one of its
            processes does is tried, with its share of a batch.

    Returns:
        What was found, and the estimates.

    Raises:
        UserError: whatever would stop the training.
    """
    table = Table("what", "found", title=f"{recipe.name}: ready to train", title_justify="left")
    with tempfile.TemporaryDirectory() as folder:
        # Loggers and callbacks are built and not used: nobody wants records of a preflight.
        build_observers(recipe, RunFolder(Path(folder)))
        find_baselines(recipe, RunFolder(Path(folder)))
    processes = count_devices(devices)
    launch = Launch(devices=devices)
    with sharing_memory(launch):
        recipe = decided(recipe, launch)
    asked, wanted = recipe, recipe.training.seconds
    if recipe.lacks_length:
        require_measurable(recipe)
    if wanted is not None:
        # The schedule of the tried steps plays no part.
        recipe = with_length(recipe, PROVISIONAL)
    recipe, cache_size = _without_cache(share_of_one(recipe, processes))
    built = build(recipe)
    odd = precision_remarks(recipe.training.precision, launch) + check_before_training(built, recipe.data)
    _add_data(table, recipe, built)
    for remark in odd:
        table.add_row(Text("warning", style="yellow"), remark)
    # What the doctor sees without running a model.
    for finding in examine_case(Case(recipe, built), quick=True):
        table.add_row(Text("warning", style="yellow"), f"{finding.evidence}; {finding.fix} ({finding.name})")
    _add_models(table, built)
    if cache_size:
        table.add_row("teacher cache", f"{cache_size}; the steps below run the teacher")
    with using(recipe.kernels):
        _add_teacher_score(table, recipe, built)
    _add_terms(table, built)
    if recipe.kernels == "auto":
        table.add_row("kernels", describe(torch.device("cuda" if torch.cuda.is_available() else "cpu")))
    table.add_row("precision", recipe.training.precision)
    table.add_row("loading processes", str(recipe.data.loading_processes))
    _add_processes(table, recipe, built, processes)
    with as_one_of(processes, built):
        # Loading processes take longer to start than these steps: the estimate below stands for them.
        tried = try_steps(recipe.with_workers(0), built)
    table.add_row("first losses", tried.losses)
    seconds = _add_data_wait(table, tried, recipe.data.loading_processes)
    steps = recipe.training.length if wanted is None else steps_in(wanted, seconds)
    left = timedelta(seconds=round(seconds * steps))
    slow = f". {see('slow')}" if left.days else ""
    table.add_row("time", f"{seconds:.3f} s a step, {left} for {steps} steps, validation not counted{slow}")
    table.add_row("peak memory", _peak_memory())
    if asked.measures_baseline and asked.baseline_steps is None:
        table.add_row("student alone", _equal_seconds(asked, devices))
    return table


def _equal_seconds(recipe: Recipe, devices: str) -> str:
    """Say how many steps of the student alone take as long as the distillation."""
    budget = measured(recipe, Launch(devices=devices))
    assert budget.alone is not None
    alone = f"{budget.alone.steps} steps of {budget.alone.seconds_per_step:.3f} s take as long"
    return f"{alone} as {budget.steps} of {budget.seconds_per_step:.3f} s, in turns"


def _without_cache(recipe: Recipe) -> tuple[Recipe, str]:
    """Return a recipe without cache, and how large the cache would be; empty without one."""
    if recipe.teacher is None or recipe.teacher.cache is None:
        return recipe, ""
    cache = build(recipe).cache
    assert cache is not None
    teacher = recipe.teacher.model_copy(update={"cache": None})
    return recipe.model_copy(update={"teacher": teacher}), gigabytes(cache.store.layout.bytes)


def _add_data(table: Table, recipe: Recipe, built: Built) -> None:
    """Add the number of images of both splits, and the classes."""
    for split, files in (
        (recipe.data.train, built.training.files),
        (recipe.data.val, built.validation),
    ):
        decoded = len(subset(files, SAMPLES))
        table.add_row(f"{split} images", f"{len(files)}, {decoded} of them decoded and verified")
    classes = built.package.classes
    table.add_row("classes", f"{len(classes)}: {', '.join(classes)}")


def _add_models(table: Table, built: Built) -> None:
    """Add the size of both models, and what people should know of them."""
    table.add_row("student", _millions(built.distiller.student))
    for note in built.notes:
        table.add_row("", note)
    if built.distiller.teacher is not None:
        table.add_row("teacher", _millions(built.distiller.teacher))


def _add_teacher_score(table: Table, recipe: Recipe, built: Built) -> None:
    """Add the teacher's score on a sample of the validation images, where it can be scored."""
    known = teacher_score(built, recipe, training_device())
    if known is None:
        return
    headline = built.task.metrics.headline
    found = "no labels" if known.score is None else headline.format(known.score)
    table.add_row(f"teacher's {headline.title}", f"{found} on {known.images} validation images")


def _add_terms(table: Table, built: Built) -> None:
    """Add what is compared between the two models."""
    for name, term in built.distiller.terms.items():
        assert isinstance(term, Term | Context)
        # A context reads the student alone.
        taps = [", ".join(paths(tap)) for tap in term.taps if tap]
        table.add_row(f"{type(term).__name__.lower()} {name}", " <- ".join(taps))


def _add_processes(table: Table, recipe: Recipe, built: Built, processes: int) -> None:
    """Add the share of a process, and whether batch norms see more than it."""
    images = recipe.data.batch_size // recipe.training.accumulate
    if processes > 1:
        table.add_row("processes", f"{processes}, {images} images each at a time; one of them is tried")
    models = (built.distiller.student, built.distiller.terms)
    table.add_row("batch norm", describe_batch_norms(models, processes, recipe.training.sync_batchnorm))


def _add_data_wait(table: Table, tried: Tried, workers: int) -> float:
    """Add the share of a step that waits for data, and advice where it is large; return the seconds of a step."""
    computing = tried.seconds - tried.waited
    waited = waits(tried.waited, computing, workers)
    share = waited / (computing + waited)
    found = f"{share:.0%} of a step; one process loads a batch in {tried.waited:.3f} s, loading processes: {workers}"
    table.add_row("waiting for data", found)
    if share >= LARGE:
        table.add_row(Text("warning", style="yellow"), advise(share, workers))
    return computing + waited


def _millions(model: nn.Module) -> str:
    count = sum(parameter.numel() for parameter in model.parameters())
    return f"{count / 1e6:.2f} M parameters"


def _peak_memory() -> str:
    """Return the most memory that was held at once: of the GPU, or of this process."""
    if torch.cuda.is_available():
        return f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB on the GPU"
    # Windows has no such counter.
    try:
        import resource
    except ImportError:
        return "this system does not count it"
    # Linux counts kilobytes, macOS bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return f"{held / 1e9:.2f} GB of this process"
