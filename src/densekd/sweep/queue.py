"""Queue of a sweep: a folder with the recipe of each trial, its run folder, its claims, and what failed."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from densekd.atomic import write_text
from densekd.errors import RecipeError, UserError
from densekd.parsers import load_text
from densekd.recipe import Recipe, dump_recipe, load_recipe
from densekd.run.folder import RunFolder, harmful_differences
from densekd.seal import read_document, sealed_text, write_document
from densekd.sweep.claims import PATIENCE, Claim, Claims
from densekd.sweep.groups import groups_of
from densekd.sweep.sections import SweepSpec
from densekd.sweep.trials import SEED, Trial

State = Literal["waiting", "interrupted", "running", "done", "failed"]
_INDEX = "sweep.json"
_ADVICE = "Start the sweep again with its file: it is written anew."


@dataclass(frozen=True)
class Entry:
    """A trial as the queue knows it.

    Args:
        name: of its run folder.
        point: axis -> name of the point.
        draw: number of the random search's draw; None without a search.
        drawn: key -> what was drawn.
        group: of trials that one process trains together; empty where it is trained alone.
    """

    name: str
    point: Mapping[str, str]
    draw: int | None
    drawn: Mapping[str, Any]
    group: str = ""

    @property
    def row(self) -> dict[str, str]:
        """The axes without the seed: what a row of the leaderboard stands for."""
        return {axis: name for axis, name in self.point.items() if axis != SEED}


@dataclass(frozen=True)
class Queue:
    """The trials of a sweep in a folder that any number of processes and machines share.

    Args:
        path: the folder.
        entries: the trials, in their order.
        baseline: axis -> name that others are compared with.
        claims: who works on which trial.
    """

    path: Path
    entries: Sequence[Entry]
    baseline: Mapping[str, str]
    claims: Claims

    def run(self, name: str) -> RunFolder:
        """Return the run folder of a trial."""
        return RunFolder(self.path / "trials" / name)

    def log(self, name: str) -> Path:
        """Return the file that a trial's output is written to."""
        return self.path / "logs" / f"{name}.log"

    def recipe(self, name: str) -> Recipe:
        """Read the recipe of a trial."""
        return load_recipe(_recipe_of(self.path, name))

    def is_done(self, name: str) -> bool:
        """Return whether a trial has its scores and its report, which comes last."""
        run = self.run(name)
        return run.results.is_file() and (run.path / "report.html").is_file()

    def failure(self, name: str) -> str | None:
        """Return why a trial failed; None where it did not."""
        path = self._failure_of(name)
        if not path.is_file():
            return None
        try:
            return str(read_document(path)["message"])
        except (UserError, KeyError, TypeError):
            return f"{path} cannot be read"

    def fail(self, name: str, message: str) -> None:
        """Note that a trial failed, and why."""
        write_document(self._failure_of(name), {"message": message})

    def forgive(self) -> list[str]:
        """Forget what failed, so that it is tried again; return the names."""
        names = [entry.name for entry in self.entries if self._failure_of(entry.name).is_file()]
        for name in names:
            self._failure_of(name).unlink(missing_ok=True)
        return names

    def state(self, name: str) -> State:
        """Return whether a trial is done, has failed, is worked on, was begun and left, or waits."""
        if self.is_done(name):
            return "done"
        if self._failure_of(name).is_file():
            return "failed"
        if self.claims.holder(name) is not None:
            return "running"
        return "interrupted" if self._has_begun(name) else "waiting"

    def is_over(self) -> bool:
        """Return whether every trial is done or has failed."""
        return not any(self._is_open(entry.name) for entry in self.entries)

    def take(self) -> tuple[Entry, Claim] | None:
        """Claim the next trial that nobody works on; None where there is none now."""
        for entry in self.entries:
            # Of a group that somebody has, nothing is taken away from him.
            if self._is_held(entry):
                continue
            claim = self.take_one(entry)
            if claim is not None:
                return entry, claim
        return None

    def take_others(self, entry: Entry) -> list[tuple[Entry, Claim]]:
        """Claim what is left of the group of a trial that this process has."""
        found = []
        for other in self.entries:
            if self.group(other) != self.group(entry) or not self.group(entry) or other == entry:
                continue
            claim = self.take_one(other)
            if claim is not None:
                found.append((other, claim))
        return found

    def group(self, entry: Entry) -> str:
        """Return the group that a trial is trained with; empty where it is trained alone."""
        return "" if self._apart(entry.name).is_file() else entry.group

    def part(self, names: Sequence[str]) -> None:
        """Let trials be trained alone from now on: together, their process died of them."""
        for name in names:
            write_document(self._apart(name), {"because": "a process that trained it with others ended without a word"})

    def take_one(self, entry: Entry) -> Claim | None:
        """Claim a trial; None where somebody works on it, or has done so."""
        if not self._is_open(entry.name):
            return None
        claim = self.claims.take(entry.name, self.run(entry.name).path)
        if claim is None:
            return None
        # Its holder may have finished it after our look.
        if not self._is_open(entry.name):
            claim.release()
            return None
        claim.begin()
        return claim

    def steps(self, name: str) -> tuple[int, int]:
        """Return how many optimizer steps of a trial are done, as far as they are recorded, and how many it has."""
        # A trial of so many seconds knows its steps once it has begun.
        total = self.recipe(name).training.steps or _steps_of_run(self.run(name))
        return (total if self.is_done(name) else _last_step(self.run(name))), total

    def steps_alone(self, name: str) -> int:
        """Return how many steps of a trial's student alone are done, which is trained before it where there is one."""
        return _last_step(self.run(name).baseline)

    def _has_begun(self, name: str) -> bool:
        """Return whether a trial has left a state to go on from, its own or that of its student alone."""
        run = self.run(name)
        return run.last.is_file() or run.baseline.last.is_file()

    def _is_held(self, entry: Entry) -> bool:
        """Return whether anybody works on a trial's group."""
        group = self.group(entry)
        if not group:
            return False
        others = [other for other in self.entries if other != entry and self.group(other) == group]
        return any(self.state(other.name) == "running" for other in others)

    def _apart(self, name: str) -> Path:
        return self.path / "apart" / f"{name}.json"

    def _is_open(self, name: str) -> bool:
        return not self.is_done(name) and not self._failure_of(name).is_file()

    def _failure_of(self, name: str) -> Path:
        return self.path / "failed" / f"{name}.json"


def open_queue(path: Path, patience: float = PATIENCE) -> Queue:
    """Open the folder of a sweep that was started.

    Raises:
        UserError: it is none, or is damaged.
    """
    index = path / _INDEX
    if not index.is_file():
        raise UserError(f"{path}: no sweep was started in this folder; it holds no {_INDEX}.")
    content = read_document(index, _ADVICE)
    try:
        entries = []
        for one in content["trials"]:
            # Sweeps of earlier versions know no groups.
            entries.append(Entry(one["name"], one["point"], one["draw"], one["drawn"], one.get("group", "")))
        return Queue(path, entries, content["baseline"], Claims(path / "claims", patience))
    except (KeyError, TypeError) as error:
        raise UserError(f"{index}: not what densekd writes ({error!r}). {_ADVICE}") from error


def fill_queue(path: Path, spec: SweepSpec, trials: Sequence[Trial]) -> Queue:
    """Write the trials of a sweep into its folder; what is there already must be the same.

    New trials are added. Trials that the sweep no longer has stay on the disk, and in no table.

    Raises:
        RecipeError: a trial's recipe is another than it was; nothing is written.
        UserError: the folder is something else's.
    """
    if path.exists() and not path.is_dir():
        raise UserError(f"{path} is a file, so that it cannot be a sweep's folder; choose another --out.")
    if path.is_dir() and any(path.iterdir()) and not (path / "recipes").is_dir():
        raise UserError(f"{path} holds something else than a sweep; choose another --out.")
    _require_same(path, trials)
    for trial in trials:
        _write_recipe(path, trial)
    first = next((axis for axis in spec.axes if axis != SEED), None)
    baseline = {axis: str(name) for axis, name in spec.baseline.items()}
    if not baseline and first is not None:
        baseline = {first: str(next(iter(spec.axes[first])))}
    groups = groups_of(spec, trials)
    listed = []
    for one in trials:
        entry = Entry(one.name, dict(one.point), one.draw, dict(one.drawn), groups[one.name])
        listed.append(asdict(entry))
    write_document(path / _INDEX, {"trials": listed, "baseline": baseline})
    return open_queue(path)


def _require_same(path: Path, trials: Sequence[Trial]) -> None:
    """Compare the trials with what the folder holds of them.

    Raises:
        RecipeError: recipes differ; the keys are named.
    """
    changed = []
    for trial in trials:
        file = _recipe_of(path, trial.name)
        if not file.is_file():
            continue
        keys = harmful_differences(load_recipe(file), trial.recipe)
        if keys:
            changed.append(f"  {trial.name}: {', '.join(keys)}")
    if changed:
        listed = "\n".join(changed)
        raise RecipeError(
            f"{path}: the sweep was changed since it was started; these trials were others then:\n{listed}\n"
            "Give what is new a name of its own in the axes, choose another --out, or remove a trial's folder in "
            "trials/ and its file in recipes/ to train it anew."
        )


def _write_recipe(path: Path, trial: Trial) -> None:
    """Write a trial's recipe, unless the same is there."""
    file, text = _recipe_of(path, trial.name), sealed_text(dump_recipe(trial.recipe))
    if file.is_file() and load_text(file) == text:
        return
    write_text(file, text)


def _recipe_of(path: Path, name: str) -> Path:
    return path / "recipes" / f"{name}.yaml"


def _steps_of_run(run: RunFolder) -> int:
    """Return the steps that a run decided on when it began; 0 before that."""
    if not run.recipe.is_file():
        return 0
    return load_recipe(run.recipe).training.steps or 0


def _last_step(run: RunFolder) -> int:
    """Return the step of the last whole row of a run's ``metrics.csv``; 0 without one."""
    try:
        rows = list(csv.DictReader(load_text(run.path / "metrics.csv").splitlines()))
    except (OSError, ValueError):
        return 0
    steps = [row.get("step") or "" for row in rows]
    return max((int(step) for step in steps if step.isdecimal()), default=0)
