"""Lock of a folder: one training at a time; locks of processes that are gone are recognized.

The operating system holds the lock as long as the process lives, and a record in the same file says
who holds it. Where another machine may have written the record and this one cannot see whether its
process lives, a person decides.
"""

import importlib
import os
import platform
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densekd.errors import UserError
from densekd.run.lock_record import holder, is_of_this_host, is_stale, read_record, write_record

NAME = "densekd.lock"
# Windows locks ranges of bytes, and nobody reads one: this is behind the record.
_LOCKED_BYTE = 1 << 30
# Who only looks at a lock holds it for a moment.
_TRIES, _PAUSE = 5, 0.05


@dataclass
class _Held:
    """A lock of this process: its open file and where that is, and the thread that trains."""

    descriptor: int
    path: Path
    thread: int


# By device and number of the lock's file, which stay when its folder is renamed.
_HELD: dict[tuple[int, int], _Held] = {}


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, which is made where it is missing.

    What the same thread locks again stays locked until the first one is done. The folder may be
    renamed meanwhile.

    Raises:
        UserError: another process or thread holds it, or may hold it on another machine.
    """
    identity = _take(folder)
    if identity is None:
        yield
        return
    try:
        yield
    finally:
        _release(identity)


def require_unlocked(folder: Path) -> None:
    """Check that nobody else holds the lock of a folder, and change nothing.

    Raises:
        UserError: somebody does, or may.
    """
    path = folder / NAME
    try:
        descriptor = os.open(path, os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return
    except IsADirectoryError as error:
        raise _no_lock(path) from error
    try:
        _require_file(descriptor, path)
        if not _own(descriptor, path):
            _require_free(descriptor, path)
    finally:
        os.close(descriptor)


def record_of(folder: Path) -> dict[str, Any]:
    """Return the record of who holds, or held, the lock of a folder; empty where nothing readable says it."""
    try:
        descriptor = os.open(folder / NAME, os.O_RDONLY)
    except OSError:
        return {}
    try:
        return read_record(descriptor)
    finally:
        os.close(descriptor)


def _take(folder: Path) -> tuple[int, int] | None:
    """Take the lock; return how it is found again, None where this thread has it already."""
    path = folder / NAME
    for _ in range(_TRIES):
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        kept = False
        try:
            _require_file(descriptor, path)
            if _own(descriptor, path):
                return None
            _require_free(descriptor, path)
            # Who held the lock may have removed the file after we opened it.
            kept = _is_still_there(descriptor, path)
            if kept:
                write_record(descriptor)
                identity = _identity(os.fstat(descriptor))
                _HELD[identity] = _Held(descriptor, path, threading.get_ident())
                return identity
        except BaseException:
            kept = False
            raise
        finally:
            if not kept:
                os.close(descriptor)
    raise UserError(f"{path}: comes and goes; another training starts in {folder}. Try again.")


def moved(before: Path, after: Path) -> None:
    """Note that a locked folder was renamed."""
    for held in _HELD.values():
        if held.path == before / NAME:
            held.path = after / NAME


def _release(identity: tuple[int, int]) -> None:
    """Remove the lock's file, and give the lock back."""
    held = _HELD.pop(identity, None)
    # In a forked process it is the parent's.
    if held is None:
        return
    with suppress(OSError):
        # An empty record is nobody's, also where the file cannot be removed.
        os.ftruncate(held.descriptor, 0)
        # Removed while it is held, so that nobody takes a file that is about to go.
        if _is_still_there(held.descriptor, held.path) and os.name == "posix":
            held.path.unlink()
    os.close(held.descriptor)
    # Windows removes no open file.
    if os.name != "posix":
        with suppress(OSError):
            held.path.unlink()


def _require_file(descriptor: int, path: Path) -> None:
    """Check that a lock is a file; a pipe, a device or a link to one was put there by somebody else.

    Raises:
        UserError: it is something else.
    """
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise _no_lock(path)


def _no_lock(path: Path) -> UserError:
    return UserError(f"{path}: is no file, so no training can lock {path.parent} by it; remove it.")


def _own(descriptor: int, path: Path) -> bool:
    """Return whether this thread holds the lock.

    Raises:
        UserError: another thread of this process does.
    """
    held = _HELD.get(_identity(os.fstat(descriptor)))
    if held is None:
        return False
    if held.thread != threading.get_ident():
        raise UserError(f"{path.parent}: another training of this process runs in it; choose another folder.")
    return True


def _require_free(descriptor: int, path: Path) -> None:
    """Take the lock of an open file from the system; its record must be of nobody who may live.

    Raises:
        UserError: somebody else holds the lock, or may hold it.
    """
    taken = _lock_by_system(descriptor)
    for _ in range(_TRIES):
        if taken is not False:
            break
        # A look at the lock is over at once; a training is not.
        time.sleep(_PAUSE)
        taken = _lock_by_system(descriptor)
    record = read_record(descriptor)
    if taken is False:
        raise UserError(_held_message(path, record))
    if not record or is_stale(record, certain=taken is True):
        return
    if is_of_this_host(record):
        raise UserError(_held_message(path, record))
    raise UserError(
        f"{path.parent}: {holder(record)} took it for a training, and from {platform.node()} it cannot be seen "
        f"whether that still runs. If you are sure that it does not, remove {path} and start again; or choose "
        "another folder with --run."
    )


def _held_message(path: Path, record: dict[str, Any]) -> str:
    return (
        f"{path.parent}: another training runs in it: {holder(record)}. Wait until it has ended, stop it, or choose "
        "another folder with --run."
    )


def _lock_by_system(descriptor: int) -> bool | None:
    """Try the system's lock: True, it is ours; False, another process has it; None, there is no such lock here."""
    try:
        fcntl: Any = importlib.import_module("fcntl")
    except ImportError:
        return _lock_by_windows(descriptor)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Some network file systems have no locks; the record remains.
        return None
    return True


def _lock_by_windows(descriptor: int) -> bool | None:
    try:
        msvcrt: Any = importlib.import_module("msvcrt")
    except ImportError:
        return None
    os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
    try:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError:
        return False
    return True


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino


def _is_still_there(descriptor: int, path: Path) -> bool:
    try:
        return _identity(path.stat()) == _identity(os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _forget() -> None:
    """Close the locks in a forked process, such as one that loads data: they are its parent's."""
    for held in _HELD.values():
        with suppress(OSError):
            os.close(held.descriptor)
    _HELD.clear()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_forget)
