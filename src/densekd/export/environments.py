"""Environments of engines: virtual environments in the user's cache folder, for engines that fight over versions."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from densekd.atomic import write_text
from densekd.errors import RecipeError, UserError, suggest

# Written last: an environment without it is not complete.
_READY = "densekd.json"


@dataclass(frozen=True)
class Environment:
    """What an engine's environment holds.

    Args:
        name: of the engine.
        packages: requirements, the decisive ones with their versions.
        gigabytes: about how much it takes on disk.
        alone: install these packages without what they depend on.
    """

    name: str
    packages: tuple[str, ...]
    gigabytes: float
    alone: bool = False

    @property
    def folder(self) -> Path:
        """Where it lies."""
        return environments_folder() / self.name

    @property
    def python(self) -> Path:
        """Its interpreter."""
        if sys.platform == "win32":
            return self.folder / "Scripts" / "python.exe"
        return self.folder / "bin" / "python"

    @property
    def ready(self) -> bool:
        """Whether it is complete and holds these versions."""
        try:
            content = json.loads((self.folder / _READY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return self.python.exists() and content == self._content()

    def missing(self) -> str | None:
        """Return the command that makes it; None where it is there."""
        if self.ready:
            return None
        return f"an environment of its own, which is not there: densekd export --setup {self.name}"

    def commands(self) -> list[list[str]]:
        """Return the commands that make it, by uv where that is installed."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        packages = ["--no-deps", *self.packages] if self.alone else list(self.packages)
        if shutil.which("uv"):
            return [
                ["uv", "venv", "--python", version, str(self.folder)],
                ["uv", "pip", "install", "--python", str(self.python), *packages],
            ]
        return [
            [sys.executable, "-m", "venv", str(self.folder)],
            [str(self.python), "-m", "pip", "install", *packages],
        ]

    def _content(self) -> dict[str, list[str]]:
        return {"packages": list(self.packages)}


ENVIRONMENTS: dict[str, Environment] = {
    environment.name: environment
    for environment in (
        # pnnx asks for torch, for a wrapper that is not used: its program is enough.
        Environment("ncnn", ("ncnn==1.0.20261020", "pnnx==20261020", "numpy==2.4.6"), 0.25, alone=True),
        Environment("litert", ("torch==2.11.0", "litert-torch==0.10.0", "ai-edge-litert==2.3.0"), 8),
        Environment("coreml", ("torch==2.11.0", "coremltools==9.0", "numpy>=2,<3"), 6),
        Environment("executorch", ("torch==2.11.0", "executorch==1.2.0", "numpy>=2,<3"), 6),
    )
}


def environments_folder() -> Path:
    """Return the folder of all environments: ``$DENSEKD_ENGINES``, or one in the user's cache folder."""
    chosen = os.environ.get("DENSEKD_ENGINES")
    if chosen:
        return Path(chosen)
    if sys.platform == "win32":
        cache = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "densekd" / "engines"


def set_up(name: str, say: Callable[[str], None]) -> None:
    """Make the environment of an engine; one that is complete is left alone.

    Args:
        name: of the engine.
        say: told what is done.

    Raises:
        RecipeError: an engine that has no environment of its own.
        UserError: a command failed, for instance without a network; the commands to run by hand are named.
    """
    if name not in ENVIRONMENTS:
        raise RecipeError(f"--setup: '{name}' has no environment of its own. {suggest(name, ENVIRONMENTS)}")
    environment = ENVIRONMENTS[name]
    if environment.ready:
        say(f"{name}: the environment is there already ({environment.folder}).")
        return
    say(f"{name}: installing {', '.join(environment.packages)} (about {environment.gigabytes:g} GB).")
    begin = time.monotonic()
    # What an earlier try left is not built upon.
    shutil.rmtree(environment.folder, ignore_errors=True)
    try:
        environment.folder.parent.mkdir(parents=True, exist_ok=True)
        for command in environment.commands():
            # What the installer prints is the progress.
            subprocess.run(command, check=True)
        write_text(environment.folder / _READY, json.dumps(environment._content()) + "\n")
    except (OSError, subprocess.CalledProcessError) as error:
        by_hand = "\n".join(f"  {shlex.join(command)}" for command in environment.commands())
        shutil.rmtree(environment.folder, ignore_errors=True)
        raise UserError(
            f"the environment of {name} could not be made: {_reason(error)} "
            f"It needs a network, and about {environment.gigabytes:g} GB of disk. "
            f"These are the commands to try by hand, with the options that your network needs:\n{by_hand}"
        ) from error
    say(f"{name}: ready after {time.monotonic() - begin:.0f} s ({environment.folder}).")


def _reason(error: OSError | subprocess.CalledProcessError) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or error}."
    return f"{Path(error.cmd[0]).name} ended with status {error.returncode}."
