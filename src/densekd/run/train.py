"""One training from recipe to report: the order of its parts."""

from collections.abc import Sequence
from typing import Any

from rich.console import Console

from densekd.builders.bands import with_statistics
from densekd.builders.build import build
from densekd.kernels import using
from densekd.recipe import Recipe
from densekd.run.baseline import find_baseline
from densekd.run.checks import check_before_training, score_teacher
from densekd.run.fill_cache import fill_cache
from densekd.run.finish import finish
from densekd.run.fit import fit
from densekd.run.folder import Existing, RunFolder, claim_run, is_first_process
from densekd.run.launch import Launch
from densekd.run.loggers import build_observers
from densekd.stopping import stop_at_once, stop_signals


def train(
    recipe: Recipe,
    run: RunFolder,
    launch: Launch,
    existing: Existing,
    console: Console,
    overrides: Sequence[str] = (),
) -> dict[str, Any]:
    """Train, evaluate, export and report.

    Args:
        recipe: the whole truth, overrides applied.
        run: the folder to fill.
        launch: where to run.
        existing: what to do with a folder in use.
        console: for people.
        overrides: those that the recipe was changed by, for the record.

    Returns:
        The content of results.json; nothing in processes other than the first.

    Raises:
        UserError: anything the user can fix; nothing that was there before is lost.
        Interrupted: a signal stopped the training at a safe point.
        Stopped: a signal before or after the training itself.
    """
    with stop_signals(stop_at_once("Stopped; continue with --resume.")):
        return _train(recipe, run, launch, existing, console, overrides)


def _train(
    recipe: Recipe,
    run: RunFolder,
    launch: Launch,
    existing: Existing,
    console: Console,
    overrides: Sequence[str],
) -> dict[str, Any]:
    """Train as :func:`train` does, while it listens to signals."""
    # What cannot be is said before anything is computed or written.
    launch.require_possible()
    # A recipe of other bands than RGB holds their mean, which may have to be measured first.
    if recipe.lacks_statistics:
        recipe = with_statistics(recipe)
    claim = claim_run(run, recipe, existing)
    # A logger or callback that cannot be built stops the training before anything is computed.
    observers = build_observers(recipe, run)
    baseline = find_baseline(recipe, run, existing == "overwrite")
    # From the recipe to live objects.
    built = build(recipe)
    # What is wrong with data, models or teacher is found here, before the first step of any training.
    odd = check_before_training(built, recipe.data)
    _tell(built.notes, odd, console)
    # The run folder is made once nothing is known to be wrong.
    with claim.taken(overrides):
        # The baseline is a training like any other, of the same student without its teacher.
        if baseline is not None and baseline.recipe is not None:
            line = f"training the student alone ({run.baseline.path})"
            console.print(line, highlight=False, soft_wrap=True)
            again: Existing = "resume" if existing == "resume" else "refuse"
            train(baseline.recipe, run.baseline, launch, again, console)
        with using(recipe.kernels):
            score_teacher(built, console)
            if built.cache is not None:
                fill_cache(built.cache, console)
        # The training itself; other processes than the first are done then.
        fit(recipe, built, run, launch, console, observers, existing == "resume")
        if not is_first_process():
            return {}
        alone = None if baseline is None else baseline.package
        return finish(recipe, built, run, alone, console)


def _tell(notes: Sequence[str], odd: Sequence[str], console: Console) -> None:
    """Print what people should know before a training, and what looks wrong."""
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)
    for remark in odd:
        console.print(f"warning: {remark}", style="yellow", highlight=False, soft_wrap=True)
