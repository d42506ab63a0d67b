"""Bytes of a regular file: pipes and devices, which never end, are refused, and so is what is too large."""

import os
import stat
from pathlib import Path

_MEGABYTE = 1_000_000
_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class NotAFileError(OSError):
    """A folder, pipe, socket or device stands where a file should be."""


def is_file(path: Path) -> bool:
    """Return whether there is a file; a name that no disk can hold, as files may say, is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Return whether there is anything; a name that no disk can hold is nothing."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def require_file(path: Path) -> int:
    """Check that a path leads to a regular file, without opening it; return its size in bytes.

    Raises:
        NotAFileError: a folder, pipe, socket or device.
        OSError: there is nothing, or it may not be read.
    """
    found = path.stat()
    for is_kind, name in _KINDS:
        if is_kind(found.st_mode):
            raise NotAFileError(f"it is {name}, not a file")
    return found.st_size


def read_bytes(path: Path, megabytes: float | None = None) -> bytes:
    """Read a regular file.

    Args:
        path: of the file.
        megabytes: it may have at most; None: any size.

    Raises:
        NotAFileError: a folder, pipe, socket or device.
        OSError: it cannot be read.
        ValueError: it is larger.
    """
    size = require_file(path)
    if megabytes is not None and size > megabytes * _MEGABYTE:
        raise ValueError(f"it has {size / _MEGABYTE:.0f} MB, and a file of its kind has at most {megabytes:g}")
    if megabytes is None:
        return path.read_bytes()
    # Without waiting: what became a pipe a moment ago has no one who writes.
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(handle, "rb") as file:
        # Special files of the system say that they are empty and have no end.
        return file.read(int(megabytes * _MEGABYTE))
