"""Run folder: paths of what a training writes, its environment, resuming, overwriting."""

import importlib.metadata
import logging
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

import densekd
from densekd.atomic import put_aside, write_text
from densekd.errors import RecipeError, UserError
from densekd.recipe import Recipe, dump_recipe, load_recipe
from densekd.seal import read_document, sealed_text, write_document

_LOG = logging.getLogger("densekd")

Existing = Literal["refuse", "resume", "overwrite"]
# What may change between an interruption and its resumption without changing the result.
_HARMLESS = (
    "data.root",
    "data.workers",
    "data.cache",
    "teacher.cache.folder",
    "training.log_every",
    "training.checkpoint_every",
)
_LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "torchdata",
    "numpy",
    "pydantic",
    "safetensors",
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
    def baseline(self) -> "RunFolder":
        """The run of the same student trained alone."""
        return RunFolder(self.path / "baseline")


def default_run(recipe: Recipe, source: str | Path = "") -> RunFolder:
    """Return where a recipe is trained: the run folder it was read from, or ``runs/<name>``."""
    if source and (Path(source) / "recipe.yaml").is_file():
        return RunFolder(Path(source))
    return RunFolder(Path("runs") / recipe.name)


def is_first_process() -> bool:
    """Return True in the process that writes files: rank 0 of Lightning, torchrun or SLURM."""
    # Each launcher has its own variable; the first that is set says it.
    rank = "0"
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        if name in os.environ:
            rank = os.environ[name]
            break
    return int(rank) == 0 and int(os.environ.get("NODE_RANK", 0)) == 0


@dataclass(frozen=True)
class Claim:
    """A folder that a training may fill, replace or resume, once nothing is known to be wrong.

    Args:
        run: the folder.
        recipe: its recipe as text.
        existing: what to do with a folder in use.
    """

    run: RunFolder
    recipe: str
    existing: Existing

    @contextmanager
    def taken(self, overrides: Sequence[str] = ()) -> Iterator[None]:
        """Make the folder with recipe and environment; a start that fails in it leaves none behind.

        Processes other than the first change nothing.

        Args:
            overrides: those given on the command line, for the record.

        Raises:
            UserError: another training has begun in the folder by now.
        """
        if not is_first_process():
            yield
            return
        used = _is_used(self.run)
        if used and self.existing == "refuse":
            raise _in_use(self.run)
        if used and self.existing == "overwrite":
            shutil.rmtree(self.run.path)
            used = False
        # New, or interrupted before its recipe was written.
        if not self.run.recipe.is_file():
            write_text(self.run.recipe, sealed_text(self.recipe))
            write_document(self.run.environment, environment(overrides))
        try:
            yield
        except BaseException:
            if not used:
                _remove_failed_start(self.run)
            raise


def claim_run(run: RunFolder, recipe: Recipe, existing: Existing) -> Claim:
    """Check that a folder can be filled, replaced or resumed, and change nothing.

    Args:
        run: the folder.
        recipe: as it is trained, overrides applied.
        existing: what to do with a folder in use.

    Raises:
        UserError: a file is in its place, or the folder is in use and neither resuming nor overwriting was
            asked for.
        RecipeError: resuming under another recipe; the differing keys are listed.
    """
    claim = Claim(run, dump_recipe(recipe), existing)
    if not is_first_process():
        return claim
    for place in (run.path, *run.path.parents):
        if place.exists() and not place.is_dir():
            raise UserError(f"{place} is a file, so that {run.path} cannot be a run folder; choose another --run.")
    if not _is_used(run):
        return claim
    if existing == "refuse":
        raise _in_use(run)
    # Only a run folder may be deleted: a wrong path must not cost anybody their files.
    if existing == "overwrite" and not run.recipe.is_file():
        raise UserError(f"{run.path} holds no recipe.yaml, so it is no run folder; it is not overwritten.")
    if existing == "resume" and run.recipe.is_file():
        # A resumed training must be the one that was interrupted.
        different = differences(load_recipe(run.recipe), recipe)
        harmful = [key for key in different if key not in _HARMLESS]
        if harmful:
            longer = ""
            if harmful == ["training.steps"]:
                longer = f" To train its student for longer: student.checkpoint={run.path} and another --run."
            raise RecipeError(
                f"{run.path} was started with another recipe; these keys differ: {', '.join(harmful)}.{longer}"
            )
    return claim


def _is_used(run: RunFolder) -> bool:
    return run.path.exists() and any(run.path.iterdir())


def _in_use(run: RunFolder) -> UserError:
    return UserError(f"{run.path} exists. Continue it with --resume, replace it with --overwrite, or choose --run.")


def _remove_failed_start(run: RunFolder) -> None:
    """Remove a folder that a start made and left without a step done, so that it blocks no other start.

    A checkpoint, a student or a row of metrics is kept with everything around it.
    """
    for path in run.path.rglob("*"):
        if path.suffix in (".ckpt", ".safetensors", ".bin", ".npy"):
            return
        # The first row is the head.
        if path.name == "metrics.csv" and len(path.read_text(encoding="utf-8").splitlines()) > 1:
            return
    shutil.rmtree(run.path, ignore_errors=True)


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
    a = _flat(one.model_dump(mode="json"))
    b = _flat(other.model_dump(mode="json"))
    return sorted(key for key in {*a, *b} if a.get(key) != b.get(key))


def environment(overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Describe versions, machine, git state, and how the training was started."""
    # Without the program's folder, which says more of a machine than of a training.
    program, *arguments = sys.argv
    versions = {"python": platform.python_version()}
    for library in _LIBRARIES:
        versions[library] = importlib.metadata.version(library)
    gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "densekd": densekd.__version__,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join([Path(program).name, *arguments]),
        "overrides": list(overrides),
        "versions": versions,
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpus": gpus,
        },
        "git": _git_state(),
    }


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings and lists as one mapping with dotted keys; empty ones are values."""
    if not isinstance(value, dict | list) or not value:
        return {prefix: value}
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    flat: dict[str, Any] = {}
    for key, part in parts:
        flat |= _flat(part, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _processor() -> str:
    """Return the processor's name: Linux tells it in a file, other systems by a call."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def _git_state() -> dict[str, Any] | None:
    """Return commit and whether files were changed, or None outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    # Without git, or outside a checkout, there is nothing to record.
    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
