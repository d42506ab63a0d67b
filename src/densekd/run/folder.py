"""Run folder: paths of what a training writes, which process writes, how two recipes differ."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from densekd.atomic import put_aside
from densekd.errors import UserError
from densekd.recipe import Recipe
from densekd.run import replace
from densekd.seal import read_document, write_document
from densekd.terminal import logger

_LOG = logger()

Existing = Literal["refuse", "resume", "overwrite"]
# What may change between an interruption and its resumption without changing the result.
_HARMLESS = (
    "data.root",
    "data.workers",
    "data.cache",
    "teacher.cache.folder",
    "training.log_every",
    "training.checkpoint_every",
    "logging",
)


@dataclass(frozen=True)
class RunFolder:
    """Paths inside ``runs/<name>/``."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The recipe as resolved."""
        return self.path / "recipe.yaml"

    @property
    def environment(self) -> Path:
        """Versions, machine, and how the training was started."""
        return self.path / "environment.json"

    @property
    def last(self) -> Path:
        """The newest checkpoint."""
        return self.path / "checkpoints" / "last.ckpt"

    @property
    def best(self) -> Path:
        """The checkpoint with the best validation score."""
        return self.path / "checkpoints" / "best.ckpt"

    @property
    def student(self) -> Path:
        """The exported student package."""
        return self.path / "student"

    @property
    def results(self) -> Path:
        """Scores of student, teacher and baseline."""
        return self.path / "results.json"

    @property
    def is_baseline(self) -> bool:
        """Whether it is the student alone of another run."""
        whole = RunFolder(self.path.parent)
        return self.path in (whole.baseline.path, whole.baseline_seconds.path)

    @property
    def baseline(self) -> "RunFolder":
        """The run of the same student trained alone."""
        return RunFolder(self.path / "baseline")

    @property
    def baseline_seconds(self) -> "RunFolder":
        """The run of the same student trained alone for as long, where a recipe asks for both."""
        return RunFolder(self.path / "baseline-seconds")


def default_run(recipe: Recipe, source: str | Path = "") -> RunFolder:
    """Return where a recipe is trained: the run folder it was read from, or ``runs/<name>``."""
    if source and (Path(source) / "recipe.yaml").is_file():
        # A run that was to replace another one is continued for it.
        return RunFolder(replace.final_of(Path(source)))
    return RunFolder(Path("runs") / recipe.name)


def begun(run: RunFolder) -> RunFolder | None:
    """Return the folder of the run that a resumed training goes on with; None where no recipe is in it yet."""
    # A run that waits to replace another one is what is gone on with.
    for place in (RunFolder(replace.new_of(run.path)), run):
        if place.recipe.is_file():
            return place
    return None


def is_first_process() -> bool:
    """Return True in the process that writes files: rank 0 of Lightning, torchrun or SLURM."""
    # Each launcher has its own variable; the first that is set says it.
    rank = "0"
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name in os.environ:
            rank = os.environ[name]
            break
    return int(rank) == 0 and int(os.environ.get("NODE_RANK", 0)) == 0


def record(run: RunFolder, facts: Mapping[str, Any]) -> None:
    """Add what is known of a training once it begins to its environment; a preflight has none."""
    if not run.environment.exists():
        return
    try:
        known = read_document(run.environment)
    except UserError as error:
        # What a training was started with is no part of it: it goes on without.
        _LOG.warning("%s It is kept as %s; the training goes on.", error, put_aside(run.environment))
        known = {}
    write_document(run.environment, known | dict(facts))


def differences(one: Recipe, other: Recipe) -> list[str]:
    """List the dotted keys in which two recipes differ."""
    a = flat(one.model_dump(mode="json"))
    b = flat(other.model_dump(mode="json"))
    return sorted(key for key in {*a, *b} if a.get(key) != b.get(key))


def harmful_differences(one: Recipe, other: Recipe) -> list[str]:
    """List the keys in which two recipes differ so that they are two trainings."""
    different = differences(one, other)
    # Loggers are a list, whose keys have its name before them.
    return [key for key in different if key not in _HARMLESS and not key.startswith("logging.")]


def flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings and lists as one mapping with dotted keys; empty ones are values."""
    if not isinstance(value, dict | list) or not value:
        return {prefix: value}
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    found: dict[str, Any] = {}
    for key, part in parts:
        found |= flat(part, f"{prefix}.{key}" if prefix else str(key))
    return found
