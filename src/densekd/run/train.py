"""One training from recipe to report: the order of its parts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from rich.console import Console

from densekd.builders.bands import with_statistics
from densekd.builders.build import build
from densekd.kernels import using
from densekd.kernels.first_use import describe
from densekd.memory import local_processes
from densekd.recipe import Precision, Recipe, dump_recipe
from densekd.run.automatic import choose_precision, choose_workers, precision_remarks, require_precision
from densekd.run.baseline import Baseline, find_baselines
from densekd.run.budget import known_length, measured, with_length
from densekd.run.callbacks import SwapRuns
from densekd.run.checks import check_before_training
from densekd.run.claim import Claim, claim_run
from densekd.run.company import current_member
from densekd.run.devices import training_device
from densekd.run.fill_cache import fill_cache
from densekd.run.finish import finish
from densekd.run.fit import fit
from densekd.run.folder import Existing, RunFolder, is_first_process
from densekd.run.launch import Launch, sharing_memory
from densekd.run.loggers import Observers, build_observers
from densekd.run.provenance import provenance, resumed
from densekd.run.scheduler import existing_of, queue_again
from densekd.run.teacher_score import score_teacher
from densekd.run.tracked_results import send_results
from densekd.stopping import Interrupted, Stopped, stop_at_once, stop_signals

# A baseline is a training within a training: what it says is not done twice.
_QUEUED = "queued again"


@dataclass(frozen=True)
class Start:
    """What a training is started with; see :func:`train`."""

    recipe: Recipe
    run: RunFolder
    launch: Launch
    existing: Existing
    console: Console
    overrides: Sequence[str]
    accept: bool


def train(
    recipe: Recipe,
    run: RunFolder,
    launch: Launch,
    existing: Existing,
    console: Console,
    overrides: Sequence[str] = (),
    accept: bool = False,
) -> dict[str, Any]:
    """Train, evaluate, export and report.

    Args:
        recipe: the whole truth, overrides applied.
        run: the folder to fill.
        launch: where to run.
        existing: what to do with a folder in use.
        console: for people.
        overrides: those that the recipe was changed by, for the record.
        accept: resume also where data, teacher or number of processes are others by now.

    Returns:
        The content of results.json; nothing in processes other than the first.

    Raises:
        UserError: anything the user can fix; nothing that was there before is lost.
        Interrupted: a signal stopped the training at a safe point.
        Stopped: a signal before or after the training itself.
    """
    # A command that its scheduler or torchrun started again goes on with what it began.
    existing = existing_of(run, existing)
    with stop_signals(stop_at_once("Stopped; continue with --resume.")):
        try:
            return _train(Start(recipe, run, launch, existing, console, overrides, accept))
        except (Stopped, Interrupted) as stop:
            raise queued_again(stop) from None


def queued_again(stop: Stopped | Interrupted) -> Stopped | Interrupted:
    """Queue a job again that was warned before its end, once, and say so in the message."""
    # Of trainings in company it is said once, by their owner.
    if current_member() is not None:
        return stop
    said = str(stop)
    sentence = "" if _QUEUED in said else queue_again(stop)
    return type(stop)(f"{said}. {sentence}", stop.code - 128) if sentence else stop


def _train(start: Start) -> dict[str, Any]:
    """Train as :func:`train` does, while it listens to signals."""
    # What cannot be is said before anything is computed or written.
    start.launch.require_possible()
    with sharing_memory(start.launch):
        return _train_there(start)


def _train_there(start: Start) -> dict[str, Any]:
    """Train as :func:`train` does, where that is known to be possible."""
    recipe, run, launch, existing, console = start.recipe, start.run, start.launch, start.existing, start.console
    # A recipe of other bands than RGB holds their mean, which may have to be measured first.
    if recipe.lacks_statistics:
        recipe = with_statistics(recipe)
    recipe = known_length(recipe, run, existing)
    # What the machine decides: the precision once for a run, whose recipe keeps it.
    if recipe.lacks_precision:
        recipe = recipe.with_precision(_chosen_precision(start))
    require_precision(recipe.training.precision, launch)
    claim = claim_run(run, recipe, existing, partial(_say, console))
    # Seconds become steps once, by a few steps that are thrown away; a resumed run has them in its recipe.
    if recipe.lacks_length:
        recipe, claim = _measured(recipe, claim, launch, console)
    work = claim.work
    # A logger or callback that cannot be built stops the training before anything is computed.
    observers = _and_swap(build_observers(recipe, work), claim)
    baselines = find_baselines(recipe, work, existing == "overwrite")
    # Loading processes change no result: every start, also that of a baseline, chooses them anew.
    if recipe.lacks_workers:
        recipe = recipe.with_workers(_chosen_workers(recipe.images_of(local_processes()), start))
    # From the recipe to live objects.
    built = build(recipe)
    # What is wrong with data, models or teacher is found here, before the first step of any training.
    odd = precision_remarks(recipe.training.precision, launch) + check_before_training(built, recipe.data)
    _tell(built.notes, odd, console)
    if recipe.kernels == "auto" and torch.cuda.is_available():
        _say(console, f"kernels: {describe(torch.device('cuda'))}")
    # A resumed training goes on with what it began with, or with changes that were accepted.
    inputs = provenance(built)
    if existing == "resume":
        inputs = resumed(inputs, work, launch, start.accept, console)
    # The run folder is made once nothing is known to be wrong.
    with claim.taken(start.overrides):
        inputs.write(work)
        # A baseline is a training like any other, of the same student without its teacher.
        _train_alone(baselines.values(), start)
        with using(recipe.kernels):
            device = training_device(launch)
            score_teacher(built, recipe, device, console)
            if built.cache is not None:
                fill_cache(built.cache, console, device)
        _announce(recipe.teacher is not None, run, work, console)
        # The training itself; other processes than the first are done then.
        fit(recipe, built, work, launch, console, observers, existing == "resume", start.accept)
        if not is_first_process():
            return {}
        claim.swap()
        alone = {role: claim.final(baseline.package) for role, baseline in baselines.items()}
        results = finish(recipe, built, run, alone, console, device)
        send_results(observers.loggers, results, run, recipe.training.length, console)
        return results


def _chosen_precision(start: Start) -> Precision:
    """Choose the precision of a training, and say it."""
    choice = choose_precision(start.launch, start.run, start.existing)
    _say(start.console, f"precision: {choice.value} ({choice.reason})")
    return choice.value


def _chosen_workers(images: int, start: Start) -> int:
    """Choose the loading processes of a training, of which each process reads so many images, and say them."""
    choice = choose_workers(images, start.launch)
    _say(start.console, f"loading processes: {choice.value} ({choice.reason})")
    return choice.value


def _announce(taught: bool, run: RunFolder, work: RunFolder, console: Console) -> None:
    """Say what begins now."""
    if taught:
        _say(console, f"training the student with its teacher: distillation ({work.path})")
    # A baseline was announced by the training that it belongs to.
    elif not run.is_baseline:
        _say(console, f"training without a teacher ({work.path})")


def _train_alone(baselines: Iterable[Baseline], start: Start) -> None:
    """Train the baselines that are not there yet, each in its folder."""
    existing: Existing = "resume" if start.existing == "resume" else "refuse"
    for baseline in baselines:
        if baseline.recipe is None:
            continue
        run = RunFolder(baseline.package.parent)
        _say(start.console, f"training the student alone ({run.path})")
        train(baseline.recipe, run, start.launch, existing, start.console, accept=start.accept)


def _measured(recipe: Recipe, claim: Claim, launch: Launch, console: Console) -> tuple[Recipe, Claim]:
    """Return a recipe with the steps that fit into its seconds, and the claim of its folder with both."""
    budget = measured(recipe, launch)
    _say(console, str(budget))
    recipe = with_length(recipe, budget.steps, budget.alone.steps if budget.alone else None)
    return recipe, replace(claim, recipe=dump_recipe(recipe), facts={"budget": budget.facts()})


def _and_swap(observers: Observers, claim: Claim) -> Observers:
    """Add what puts a new run in the place of an old one."""
    if not claim.replaces:
        return observers
    return replace(observers, callbacks=(*observers.callbacks, SwapRuns(claim.swap)))


def _say(console: Console, line: str) -> None:
    """Print a line as it is."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def _tell(notes: Sequence[str], odd: Sequence[str], console: Console) -> None:
    """Print what people should know before a training, and what looks wrong."""
    for note in notes:
        _say(console, note)
    for remark in odd:
        console.print(f"warning: {remark}", style="yellow", highlight=False, soft_wrap=True)
