"""Contents of a run folder: the marker of what densekd made, the names that a run writes, removal of nothing else."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import densekd
from densekd.atomic import is_temporary, write_text
from densekd.parsers import load_json, load_text
from densekd.run import lock

MARKER = "densekd-run.json"
Kind = Literal["run", "quickstart"]

# Files that a run writes, by folder. What writes a new one adds it here.
_FILES: dict[str, tuple[str, ...]] = {
    "": (
        MARKER,
        lock.NAME,
        "recipe.yaml",
        "environment.json",
        "inputs.json.gz",
        "image-scores.safetensors",
        "metrics.csv",
        "metrics.json",
        "results.json",
        "report.html",
        "features.html",
        "confusion.svg",
        "comparison.json",
    ),
    "checkpoints": ("last.ckpt", "previous.ckpt", "best.ckpt"),
    "student": ("config.json", "model.safetensors", "README.md"),
    # The student until it is scored.
    "student.new": ("config.json", "model.safetensors", "README.md"),
}
# Folders of which everything is the run's: pictures, and what its loggers write.
_WHOLE = ("predictions", "predicted", "tensorboard", "csv", "wandb", "mlflow")
# Checkpoints of strategies that write several files for one.
_WHOLE_IN: dict[str, tuple[str, ...]] = {
    "": _WHOLE,
    "checkpoints": ("last.ckpt", "previous.ckpt", "best.ckpt"),
    "student": ("predicted",),
    "student.new": (),
}
# The quickstart's further files; its data is the demo's.
_DATA = ("classes.json", "images/*/demo_*.png", "labels/*/demo_*.png")
# What was damaged and put aside, whatever it is.
_DAMAGED = "*.damaged*"
# What file managers and network file systems leave anywhere.
_NOBODYS = (".DS_Store", "Thumbs.db", "desktop.ini", ".nfs*")
# A step done is in one of these.
_RESULTS = (".ckpt", ".safetensors", ".bin", ".npy")


def mark(folder: Path, kind: Kind = "run") -> None:
    """Write into a folder that densekd makes it; one that is marked stays as it is."""
    path = folder / MARKER
    if path.is_file():
        return
    content = {
        "densekd": densekd.__version__,
        "kind": kind,
        "run": uuid.uuid4().hex,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_text(path, json.dumps(content) + "\n")


def is_made_by_densekd(folder: Path) -> bool:
    """Return whether a folder is a run's: by its marker, or, of older versions, by what every run has."""
    if _read_marker(folder):
        return True
    return is_quickstart(folder) or ((folder / "recipe.yaml").is_file() and (folder / "environment.json").is_file())


def is_quickstart(folder: Path) -> bool:
    """Return whether a folder is the quickstart's; older versions did not mark it, but its data says it."""
    marker = _read_marker(folder)
    if marker:
        return bool(marker.get("kind") == "quickstart")
    try:
        index = load_json(folder / "data" / "classes.json")
    except (OSError, ValueError):
        return False
    return isinstance(index, dict) and index.get("name") == "demo" and "made_with" in index


def foreign_files(folder: Path) -> list[str]:
    """List what no run writes: relative paths of files, and of folders and links as a whole.

    Args:
        folder: of a run, or of a quickstart.
    """
    return sorted(_foreign(folder))


def is_used(folder: Path) -> bool:
    """Return whether anything but a lock is in a folder."""
    if not folder.is_dir():
        return False
    return any(path.name != lock.NAME for path in folder.iterdir())


def holds_results(folder: Path) -> bool:
    """Return whether a training has done a step in a folder: a checkpoint, a student or a row of metrics."""
    for path in folder.rglob("*"):
        if path.suffix in _RESULTS:
            return True
        # The first row is the head. What cannot be read may have been rows.
        if path.name == "metrics.csv":
            rows = _lines(path)
            if rows is None or rows > 1:
                return True
    return False


def _lines(path: Path) -> int | None:
    """Return the number of lines of a file; None for a folder or pipe in its place, and for one that is no text."""
    try:
        return len(load_text(path).splitlines())
    except (OSError, ValueError):
        return None


def is_failed_start(folder: Path) -> bool:
    """Return whether a folder was made by a start that did not get to its first step, and holds nothing else."""
    return bool(_read_marker(folder)) and not holds_results(folder) and not foreign_files(folder)


def clear(folder: Path) -> None:
    """Remove everything from a folder but its lock; the marker goes last, so that what is left is known.

    Raises:
        OSError: something cannot be removed.
    """
    if not folder.is_dir():
        return
    kept = (lock.NAME, MARKER)
    for path in folder.iterdir():
        if path.name in kept:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    (folder / MARKER).unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Remove a folder with everything in it, the marker at last.

    Raises:
        OSError: something cannot be removed.
    """
    clear(folder)
    shutil.rmtree(folder)


def _read_marker(folder: Path) -> dict[str, Any]:
    """Return the content of a folder's marker; empty where it has none."""
    try:
        content = load_json(folder / MARKER)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and "densekd" in content else {}


def _foreign(folder: Path, within: str = "") -> Iterator[str]:
    """Yield what no run writes of a run's folder.

    Args:
        folder: of a run.
        within: its path in the outermost run, for the names.
    """
    for entry in os.scandir(folder):
        name = f"{within}{entry.name}"
        # A link leads to something that is elsewhere, and a run makes none.
        if entry.is_symlink():
            yield f"{name} (a link)"
        elif not entry.is_dir():
            if not _is_of_run("", entry.name):
                yield name
        elif entry.name in _WHOLE_IN[""] or fnmatch(entry.name, _DAMAGED):
            yield from _links(Path(entry.path), f"{name}/")
        elif entry.name in _FILES:
            yield from _foreign_in(Path(entry.path), entry.name, f"{name}/")
        elif entry.name == "export":
            yield from _foreign_exports(Path(entry.path), f"{name}/")
        # The student alone, and the teacher that a quickstart trains, are runs of their own.
        elif entry.name in ("baseline", "baseline-seconds") or (entry.name == "teacher" and is_quickstart(folder)):
            yield from _foreign(Path(entry.path), f"{name}/")
        elif entry.name == "data" and is_quickstart(folder):
            yield from _foreign_data(Path(entry.path), f"{name}/")
        else:
            yield f"{name}/"


def _foreign_in(folder: Path, kind: str, within: str) -> Iterator[str]:
    """Yield what no run writes of its folder ``checkpoints`` or ``student``."""
    for entry in os.scandir(folder):
        name = f"{within}{entry.name}"
        if entry.is_symlink():
            yield f"{name} (a link)"
        elif entry.is_dir():
            if entry.name not in _WHOLE_IN[kind] and not fnmatch(entry.name, _DAMAGED):
                yield f"{name}/"
        elif not _is_of_run(kind, entry.name):
            yield name


def _foreign_exports(folder: Path, within: str) -> Iterator[str]:
    """Yield what is no export: each is a folder of its own with its description."""
    for entry in os.scandir(folder):
        if entry.is_symlink() or not Path(entry.path, "model.json").is_file():
            yield f"{within}{entry.name}"


def _foreign_data(folder: Path, within: str) -> Iterator[str]:
    """Yield what is no part of the quickstart's data."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        known = any(fnmatch(name, pattern) for pattern in (*_DATA, *_NOBODYS)) or is_temporary(path)
        if path.is_symlink() or not (path.is_dir() or known):
            yield f"{within}{name}"


def _links(folder: Path, within: str) -> Iterator[str]:
    """Yield the links below a folder, whose targets are elsewhere."""
    for path in folder.rglob("*"):
        # Weights & Biases links to its newest run and logs.
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            yield f"{within}{path.relative_to(folder).as_posix()} (a link)"


def _is_of_run(kind: str, name: str) -> bool:
    """Return whether a run writes a file of this name there."""
    return any(fnmatch(name, pattern) for pattern in (*_FILES[kind], *_NOBODYS, _DAMAGED)) or is_temporary(Path(name))
