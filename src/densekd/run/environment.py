"""Environment of a training: versions, machine, git state, and how it was started."""

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

import densekd
from densekd.run.job import job

_LIBRARIES = (
    "torch",
    "torchvision",
    "timm",
    "lightning",
    "numpy",
    "pydantic",
    "safetensors",
)


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
        # A restarted job goes on with what it began itself.
        "job": job(),
        "versions": versions,
        "machine": {
            "system": f"{platform.system()} {platform.machine()}",
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "gpus": gpus,
        },
        "git": _git_state(),
    }


def processor() -> str:
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
