"""The run folder: where everything of one training lies, and what machine it ran on."""

import importlib.metadata
import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

import densekd
from densekd.atomic import write_text
from densekd.errors import RecipeError, UserError
from densekd.recipe import Recipe, dump_recipe, load_recipe

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
_LIBRARIES = ("torch", "torchvision", "timm", "lightning", "torchdata", "numpy", "pydantic", "safetensors")


@dataclass(frozen=True)
class RunFolder:
    """Paths inside ``runs/<name>/``."""

    path: Path

    @property
    def recipe(self) -> Path:
        """The recipe as resolved."""
        return self.path / "recipe.yaml"

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


def is_first_process() -> bool:
    """Say whether this process writes files: rank 0 of whatever launched it (Lightning, torchrun, SLURM)."""
    ranks = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))
    rank = next((rank for rank in ranks if rank is not None), "0")
    return int(rank) == 0 and int(os.environ.get("NODE_RANK", 0)) == 0


def prepare_run(run: RunFolder, recipe: Recipe, existing: Existing, overrides: tuple[str, ...] = ()) -> None:
    """Make the folder and write recipe and environment, or check that an existing one can be continued.

    Raises:
        UserError: the folder is in use and neither resuming nor overwriting was asked for.
        RecipeError: resuming under another recipe; the differing keys are listed.
    """
    used = run.path.exists() and any(run.path.iterdir())
    if used and existing == "overwrite":
        if not run.recipe.is_file():
            raise UserError(f"{run.path} holds no recipe.yaml, so it is no run folder; it is not overwritten.")
        shutil.rmtree(run.path)
    elif used and existing == "refuse":
        raise UserError(f"{run.path} exists. Continue it with --resume, replace it with --overwrite, or choose --run.")
    elif used and run.recipe.is_file():
        different = [key for key in differences(load_recipe(run.recipe), recipe) if key not in _HARMLESS]
        if different:
            raise RecipeError(f"{run.path} was started with another recipe; these keys differ: {', '.join(different)}.")
        return
    write_text(run.recipe, dump_recipe(recipe))
    write_text(run.path / "environment.json", json.dumps(environment(overrides), indent=1) + "\n")


def differences(one: Recipe, other: Recipe) -> list[str]:
    """List the dotted keys in which two recipes differ."""
    a, b = _flat(one.model_dump(mode="json")), _flat(other.model_dump(mode="json"))
    return sorted(key for key in {*a, *b} if a.get(key) != b.get(key))


def environment(overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    """Describe versions, machine and git state."""
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "densekd": densekd.__version__,
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(Path(a).name if k == 0 else a for k, a in enumerate(sys.argv)),
        "overrides": list(overrides),
        "versions": {"python": platform.python_version()} | {n: importlib.metadata.version(n) for n in _LIBRARIES},
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
    if isinstance(value, dict) and value:
        return {k: v for key, part in value.items() for k, v in _flat(part, f"{prefix}{key}.").items()}
    if isinstance(value, list) and value:
        return {k: v for key, part in enumerate(value) for k, v in _flat(part, f"{prefix}{key}.").items()}
    return {prefix.rstrip("."): value}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _git_state() -> dict[str, Any] | None:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None
