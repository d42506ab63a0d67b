"""Atomic file writes: a reader never sees half of a file."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from densekd.disk import naming
from densekd.errors import UserError

# Temporary siblings of ``name.suffix`` are called ``.name.<process>.tmp.suffix``.
_TEMPORARY = re.compile(r"\..*\.(?P<process>\d+)\.tmp(\.[^.]*)?")
# Bytes of a name that leave room for what is added to it; most file systems allow 255.
_LONG = 120


def short_name(name: str) -> str:
    """Return a name that still fits a file system when something is added: a long one ends in a hash of itself.

    Args:
        name: of a file, without its suffix.
    """
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) <= _LONG:
        return name
    digest = hashlib.blake2b(encoded, digest_size=4).hexdigest()
    # A character of several bytes may be cut in two.
    beginning = encoded[: _LONG - len(digest) - 1].decode("utf-8", "ignore")
    return f"{beginning}-{digest}"


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """Write a file atomically: yield a temporary sibling, move it over ``path`` on success.

    On failure the temporary file is removed and ``path`` stays as it was. The file gets the
    permissions of any new file of this user, whatever its writer gave it.

    Args:
        path: the final file. Its folder is made when missing.

    Raises:
        UserError: a folder that holds something stands in its place.

    Yields:
        The temporary path to write to; it keeps the suffix of ``path`` because some writers choose
        a format by it.

    Raises:
        OSError: what the disk does not do, with the name of the final file.
    """

    # The process id keeps two processes that write the same file apart.
    temporary = path.with_name(f".{short_name(path.stem)}.{os.getpid()}.tmp{path.suffix}")
    with naming(path, temporary):
        path.parent.mkdir(parents=True, exist_ok=True)
        _clear(path)
        mode = _mode_of_new_file(temporary)
        try:
            yield temporary
            # Some writers make files that their owner alone may read.
            temporary.chmod(mode)
            # Bytes reach the disk before the name does, or a power cut could leave an empty file.
            # Windows does it for files that may be written only.
            with temporary.open("r+b") as handle:
                os.fsync(handle.fileno())
            temporary.replace(path)
        finally:
            # A disk that became read-only is said by the error that is under way.
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _clear(path: Path) -> None:
    """Remove an empty folder that stands where a file is to be written.

    Raises:
        UserError: it holds something.
    """
    try:
        if path.is_dir():
            path.rmdir()
    except OSError as error:
        raise UserError(f"{path}: a folder stands where a file is to be written; move it away.") from error


def put_aside(path: Path) -> Path:
    """Rename a damaged file, or what stands in its place, to ``<name>.damaged``; return where it is."""
    aside = path.with_name(f"{path.name}.damaged")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{number}")
    path.replace(aside)
    return aside


def is_temporary(path: Path) -> bool:
    """Return whether a file is the temporary sibling of one that is, or was, being written."""
    return _TEMPORARY.fullmatch(path.name) is not None


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


def _mode_of_new_file(path: Path) -> int:
    """Return the permissions that a new file gets here: the user's umask, read without changing it."""
    path.touch()
    mode = stat.S_IMODE(path.stat().st_mode)
    path.unlink()
    return mode


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically, in UTF-8."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
