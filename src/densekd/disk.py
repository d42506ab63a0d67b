"""Errors of the disk under the names of the files that people know."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What writers in C++ and Rust say where the disk takes no more.
_NOT_WRITTEN = re.compile(r"inline_container|PytorchStreamWriter|iostream error|os error \d+|I/O error", re.IGNORECASE)
_NO_FOLDER = re.compile(r"Parent directory .* does not exist")
_NUMBER = re.compile(r"os error (\d+)")
# A disk with less room than this takes no file.
_ROOM = 64 << 10


@contextmanager
def naming(path: Path, *others: Path) -> Iterator[None]:
    """Name a file in every error of the disk that is raised while it is written or read.

    Args:
        path: that people know.
        others: its temporary names, which nobody knows.

    Raises:
        OSError: with the file's name and the system's number, also where a library raised another
            error or gave no name.
    """
    try:
        yield
    except OSError as error:
        hidden = error.filename is None or str(error.filename) in map(str, others)
        # What has no number was not said by the system; what moves a file has a second name.
        if error.errno is None or error.filename2 is not None or not hidden:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    except Exception as error:
        number = _number_of(error, path)
        if number is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _number_of(error: BaseException, path: Path) -> int | None:
    """Return the system's number of a library's error about a file; None for any other error."""
    said = str(error)
    if _NO_FOLDER.search(said):
        return errno.ENOENT
    if not _NOT_WRITTEN.search(said):
        return None
    found = _NUMBER.search(said)
    if found is not None:
        return int(found[1])
    # The cause may be known from Python's part of the writer.
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause.errno
        cause = cause.__cause__ or cause.__context__
    return errno.ENOSPC if _is_full(path.parent) else errno.EIO


def _is_full(folder: Path) -> bool:
    try:
        return shutil.disk_usage(folder).free < _ROOM
    except OSError:
        return False
