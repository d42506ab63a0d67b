"""``densekd.train``: a training from recipe to report, called from Python."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from torch import nn

from densekd.api.load import load
from densekd.errors import UserError
from densekd.quiet import quiet_libraries
from densekd.recipe import Recipe, parse_recipe
from densekd.recipe.shipped import named_recipe
from densekd.run.folder import Existing, RunFolder, default_run
from densekd.run.launch import Launch
from densekd.run.replace import mend_missing, say_nothing
from densekd.run.train import train as run_training
from densekd.terminal import Terminal
from densekd.trust import trust_modules


@dataclass(frozen=True)
class Training:
    """Result of a training.

    Args:
        run: the run folder, with recipe, checkpoints, student package, pictures and report.
        results: the content of ``results.json``: scores of ``student``, ``teacher`` and
            ``baseline``; empty in processes other than the first.
    """

    run: Path
    results: Mapping[str, Any]

    def student(self) -> nn.Module:
        """Return the trained student; see :func:`densekd.load`."""
        return load(self.run)


def train(
    recipe: str | Path | Mapping[str, Any] | Recipe,
    run: str | Path | None = None,
    *,
    overrides: Sequence[str] = (),
    existing: Existing = "refuse",
    accelerator: str = "auto",
    devices: int | str = "auto",
    quiet: bool = True,
    accept_changes: bool = False,
    trust: Sequence[str] = (),
) -> Training:
    """Train a student by a recipe, with or without a teacher; evaluate, export and report.

    Args:
        recipe: a YAML file, a run folder, the name of a shipped recipe, the content of a recipe as
            a mapping, or a :class:`densekd.recipe.Recipe`.
        run: the folder to fill; None: ``runs/<name of the recipe>``.
        overrides: ``key.path=value``, as on the command line.
        existing: what to do with a folder in use: ``refuse``, ``resume`` (continue exactly where it
            stopped) or ``overwrite`` (the old run is removed when the first checkpoint of the new one
            stands).
        accelerator: ``auto``, ``cpu``, ``gpu``, ...
        devices: their number, or ``auto``.
        quiet: print nothing; otherwise progress and scores.
        accept_changes: with ``existing="resume"``: go on also where the data, the teacher or the number
            of processes are others than the run began with. Otherwise that is refused.
        trust: modules that the package of a teacher may name, see :func:`densekd.load`; what the recipe
            names itself is trusted.

    Returns:
        The run folder, the results, and the student.

    Raises:
        densekd.errors.UserError: anything that the recipe names and that is missing, damaged or
            does not fit.
    """
    if existing not in get_args(Existing):
        raise UserError(f"existing: one of {', '.join(get_args(Existing))}, not {existing!r}.")
    if accept_changes and existing != "resume":
        raise UserError('accept_changes belongs to existing="resume".')
    trust_modules(trust)
    if isinstance(recipe, str | Path):
        # A run that a killed process was about to replace has no name for a moment.
        mend_missing(str(recipe), say_nothing)
    loaded = _read(recipe, overrides)
    # A run folder as recipe is trained in that folder.
    source = recipe if isinstance(recipe, str | Path) else ""
    folder = default_run(loaded, source) if run is None else RunFolder(Path(run))
    launch = Launch(accelerator, str(devices))
    # Lightning's banners are nobody's results.
    if not quiet:
        results = run_training(loaded, folder, launch, existing, Terminal(), overrides, accept_changes)
        return Training(folder.path, results)
    with quiet_libraries():
        results = run_training(loaded, folder, launch, existing, Terminal(quiet=True), overrides, accept_changes)
    return Training(folder.path, results)


def _read(recipe: Any, overrides: Sequence[str]) -> Recipe:
    """Return the checked recipe with overrides applied."""
    if isinstance(recipe, str | Path):
        return named_recipe(recipe, overrides)
    if not isinstance(recipe, Mapping | Recipe):
        kind = type(recipe).__name__
        raise UserError(f"A recipe is a file, a run folder, a name, a mapping or a Recipe, not a {kind}.")
    content = recipe.model_dump(mode="json") if isinstance(recipe, Recipe) else dict(recipe)
    return parse_recipe(content, "recipe", overrides)
