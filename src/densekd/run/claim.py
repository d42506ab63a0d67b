"""Claim of a run folder: a training fills, resumes or replaces it, and no file of anybody else is lost."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from densekd.atomic import write_text
from densekd.errors import RecipeError, UserError, see
from densekd.recipe import Recipe, dump_recipe, load_recipe
from densekd.run import contents, replace
from densekd.run.environment import environment
from densekd.run.folder import Existing, RunFolder, flat, harmful_differences, is_first_process
from densekd.run.lock import locked, require_unlocked
from densekd.run.replace import say_nothing
from densekd.seal import sealed_text, write_document

# What a recipe reads, by the keys that name it.
_PLACES = (
    "data.root",
    "student.checkpoint",
    "student.pretrained",
    "teacher.checkpoint",
    "teacher.pretrained",
    "teacher.cache.folder",
    "baseline",
)


@dataclass(frozen=True)
class Claim:
    """A folder that a training may fill, replace or resume, once nothing is known to be wrong.

    Args:
        run: the folder.
        work: where the training writes: the folder, or one beside it until the first checkpoint of a run
            that replaces another one stands.
        recipe: its recipe as text.
        existing: what to do with a folder in use.
        tell: says to people what they should know.
        facts: what else its environment records.
    """

    run: RunFolder
    work: RunFolder
    recipe: str
    existing: Existing
    tell: replace.Tell
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def replaces(self) -> bool:
        """Whether another run is to be replaced."""
        return self.work != self.run

    @contextmanager
    def taken(self, overrides: Sequence[str] = ()) -> Iterator[None]:
        """Lock the folder and fill it with recipe and environment; a start that fails in it leaves none behind.

        Processes other than the first change nothing.

        Args:
            overrides: those given on the command line, for the record.

        Raises:
            UserError: another training runs in the folder, or has begun in it by now.
        """
        if not is_first_process():
            yield
            return
        is_new = not self.run.path.exists()
        try:
            with locked(self.run.path), locked(self.work.path):
                began = self._fill(overrides)
                try:
                    yield
                except BaseException:
                    self._leave(began)
                    raise
        finally:
            self._remove_traces(is_new)

    def swap(self) -> None:
        """Put the new run in the place of the old one as soon as its first checkpoint stands."""
        if not is_first_process() or not self.replaces or not replace.is_folder(self.work.path):
            return
        if replace.has_checkpoint(self.work.path):
            replace.swap(self.run.path, self.tell)

    def final(self, path: Path) -> Path:
        """Return where something of the folder that the training writes to is, once that is in its place."""
        if not path.is_relative_to(self.work.path):
            return path
        return self.run.path / path.relative_to(self.work.path)

    def _fill(self, overrides: Sequence[str]) -> bool:
        """Make the folder ready; return whether nothing of an earlier start is in it."""
        if self.existing != "resume":
            self._require_ready()
        began = not contents.is_used(self.work.path)
        contents.mark(self.work.path)
        # New, or interrupted before its recipe was written.
        if not self.work.recipe.is_file():
            write_text(self.work.recipe, sealed_text(self.recipe))
            write_document(self.work.environment, environment(overrides) | dict(self.facts))
        return began

    def _require_ready(self) -> None:
        """Remove what an interrupted start left; who has begun since the folder was claimed is not replaced."""
        waiting = replace.new_of(self.run.path)
        if self.replaces:
            contents.clear(self.work.path)
            return
        if contents.is_failed_start(self.run.path):
            contents.clear(self.run.path)
        elif contents.is_used(self.run.path):
            raise _in_use(self.run)
        # Nothing is there that it could replace, and a resumption must not take it for this run.
        if contents.is_failed_start(waiting):
            contents.remove(waiting)
        elif replace.is_folder(waiting):
            replace.set_aside(waiting, self.tell)

    def _leave(self, began: bool) -> None:
        """Leave nothing of a start that failed, and what a training has done; an old run stays or is replaced."""
        place = self.work.path
        if not replace.is_folder(place):
            return
        if not self.replaces:
            if began and not contents.holds_results(place):
                # Whatever is in it was made by this process.
                with suppress(OSError):
                    contents.clear(place)
            return
        try:
            if replace.has_checkpoint(place):
                self.swap()
            elif began and not contents.holds_results(place):
                contents.clear(place)
                self.tell(f"{self.run.path}: the old run is as it was.")
            else:
                again = f"densekd train {shlex.quote(str(place))} --resume"
                self.tell(
                    f"{self.run.path}: the old run is as it was. What the new one did is in {place}; go on by: {again}"
                )
        except OSError as error:
            self.tell(f"{place}: cannot take the place of {self.run.path} ({error}); the next start tries again.")

    def _remove_traces(self, is_new: bool) -> None:
        """Remove folders that nothing is in, and the former name of a run that took its place."""
        with suppress(OSError):
            if self.replaces and self.work.path.is_symlink():
                self.work.path.unlink()
            elif self.replaces:
                self.work.path.rmdir()
        with suppress(OSError):
            if is_new:
                self.run.path.rmdir()


def claim_run(run: RunFolder, recipe: Recipe, existing: Existing, tell: replace.Tell = say_nothing) -> Claim:
    """Check that a folder can be filled, replaced or resumed; only what a killed process left is finished.

    Args:
        run: the folder.
        recipe: as it is trained, overrides applied.
        existing: what to do with a folder in use.
        tell: says to people what they should know.

    Raises:
        UserError: a file is in its place, another training runs in it, or it is in use and neither resuming
            nor overwriting was asked for; or it holds what no run writes, and is not overwritten.
        RecipeError: resuming under another recipe; the differing keys are listed.
    """
    # A run that was to replace this one, and was killed before its first checkpoint.
    waiting = RunFolder(replace.new_of(run.path))
    text = dump_recipe(recipe)
    if not is_first_process():
        work = waiting if _is_waited_for(waiting, recipe, existing) else run
        return Claim(run, work, text, existing, tell)
    for place in (run.path, *run.path.parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"{place} is a file, so that {run.path} cannot be a run folder; choose another --run.")
    # The student alone may be trained by itself, too.
    require_unlocked(run.path)
    require_unlocked(run.baseline.path)
    require_unlocked(run.baseline_seconds.path)
    replace.mend(run.path, tell)
    if existing == "resume" and replace.is_folder(waiting.path) and waiting.recipe.is_file():
        _require_waiting(waiting, run, recipe)
        tell(f"{run.path}: going on with the run that will replace it at its first checkpoint.")
        return Claim(run, waiting, text, existing, tell)
    if existing == "resume":
        _require_resumable(run, recipe)
    elif contents.is_used(run.path) and not contents.is_failed_start(run.path):
        if existing == "refuse":
            raise _in_use(run)
        _require_apart(run, recipe)
        replace.require_replaceable(run.path)
        if contents.is_used(waiting.path):
            replace.require_replaceable(waiting.path)
        return Claim(run, waiting, text, existing, tell)
    return Claim(run, run, text, existing, tell)


def _is_waited_for(waiting: RunFolder, recipe: Recipe, existing: Existing) -> bool:
    """Return whether the first process trains in the folder beside the old run's."""
    if existing == "refuse" or not replace.is_folder(waiting.path):
        return False
    return existing == "overwrite" or (waiting.recipe.is_file() and not _harmful(waiting, recipe))


def _harmful(run: RunFolder, recipe: Recipe) -> list[str]:
    """List the keys in which a run's recipe differs so that it would be another training."""
    return harmful_differences(load_recipe(run.recipe), recipe)


def _require_resumable(run: RunFolder, recipe: Recipe) -> None:
    """Check that a resumed training is the one that was interrupted."""
    if not run.recipe.is_file():
        foreign = contents.foreign_files(run.path) if contents.is_used(run.path) else []
        if foreign:
            shown = replace.listed(foreign)
            raise UserError(f"{run.path} holds no recipe.yaml, so it is no run to resume; it holds {shown}.")
        return
    harmful = _harmful(run, recipe)
    if harmful:
        longer = ""
        if harmful == ["training.steps"]:
            longer = f" To train its student for longer: student.checkpoint={run.path} and another --run."
        raise RecipeError(
            f"{run.path} was started with another recipe; these keys differ: {', '.join(harmful)}.{longer}"
        )


def _require_waiting(waiting: RunFolder, run: RunFolder, recipe: Recipe) -> None:
    """Check that what is resumed is the run that was to replace another one: either could be meant."""
    harmful = _harmful(waiting, recipe)
    if harmful:
        raise RecipeError(
            f"{run.path} was to be replaced by a run of another recipe, which was stopped before its first checkpoint; "
            f"these keys differ: {', '.join(harmful)}. Go on with that one: densekd train "
            f"{shlex.quote(str(waiting.path))} --resume. Keep the old one: remove {waiting.path}."
        )


def _require_apart(run: RunFolder, recipe: Recipe) -> None:
    """Check that a run to be replaced holds nothing that its successor reads.

    Raises:
        UserError: teacher, checkpoint, data, cache or baseline are in it.
    """
    folder = run.path.resolve()
    for key, value in flat(recipe.model_dump(mode="json")).items():
        # Whatever names a path, also in the options of a dataset.
        is_path = key in _PLACES or (isinstance(value, str) and "/" in value)
        if not is_path or not isinstance(value, str) or "://" in value:
            continue
        # A part of a file is named behind its path: teacher.ckpt#ema.
        paths = [Path(text).expanduser().resolve() for text in (value, value.partition("#")[0])]
        if any(path.is_relative_to(folder) for path in paths):
            raise UserError(
                f"{run.path} holds {value}, which {key} names; it is not overwritten. Choose another --run."
            )


def _in_use(run: RunFolder) -> UserError:
    waiting = replace.new_of(run.path)
    more = ""
    if replace.is_folder(waiting):
        more = f" A run that was to replace it was interrupted ({waiting}): --resume goes on with that one."
    return UserError(
        f"{run.path} exists. Continue it with --resume, replace it with --overwrite, or choose --run.{more} "
        f"{see('a-run-folder-in-the-way')}"
    )
