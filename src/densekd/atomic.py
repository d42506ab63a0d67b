"""Atomic file writes: a reader never sees half of a file."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# Temporary siblings of ``name.suffix`` are called ``.name.<process>.tmp.suffix``.
_TEMPORARY = re.compile(r"\..*\.(?P<process>\d+)\.tmp(\.[^.]*)?")


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write a file atomically: yield a temporary sibling, move it over ``path`` on success.

    On failure the temporary file is removed and ``path`` stays as it was.

    Args:
        path: the final file. Its folder is made when missing.

    Yields:
        The temporary path to write to; it keeps the suffix of ``path`` because some writers choose
        a format by it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The process id keeps two processes that write the same file apart.
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        # Bytes reach the disk before the name does, or a power cut could leave an empty file.
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed processes from a folder; those of living ones are left."""
    for path in folder.glob(".*.tmp*"):
        found = _TEMPORARY.fullmatch(path.name)
        if found is not None and not _lives(int(found["process"])):
            path.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    """Return whether a process of this machine lives; where that cannot be known, it does."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return process != os.getpid()


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, in UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
