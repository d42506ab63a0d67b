"""Claims of trials: one process at a time works on one, on any number of machines that share the folder.

A claim is a file ``<trial>.<number>``, made so that of several processes exactly one makes it, which needs
no locks of the file system. Its holder touches it every few seconds. Of a process that is gone the claim is
never removed: its successor makes the next number, of which there is one as well.
"""

import json
import os
import threading
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from densekd.atomic import write_text
from densekd.errors import UserError
from densekd.run import lock
from densekd.run.lock_record import describe, is_of_this_host, is_stale

# Seconds between two signs of life, and those without one after which a process elsewhere counts as dead.
BEAT = 15.0
PATIENCE = 180.0
# Status of a process that was taken for dead, for instance because its machine slept.
TAKEN_OVER = 75


@dataclass
class Claim:
    """A trial that this process may work on until it gives it back.

    Args:
        path: file of the claim.
        previous: record of a process that is gone, whose claim this one follows; empty without one.
    """

    path: Path
    previous: dict[str, Any]
    _over: threading.Event = field(default_factory=threading.Event)

    def begin(self, beat: float = BEAT) -> None:
        """Show every few seconds that this process lives."""
        threading.Thread(target=self._show_life, args=(beat,), daemon=True).start()

    def release(self) -> None:
        """Give the trial back."""
        self._over.set()
        write_text(self.path, json.dumps({"released": True}) + "\n")

    def _show_life(self, beat: float) -> None:
        following = _numbered(self.path, _number(self.path) + 1)
        while not self._over.wait(beat):
            # Who was taken for dead must not write where another one goes on.
            if following.exists():
                os.write(2, f"error: {self.path.stem}: another process went on with this trial.\n".encode())
                os._exit(TAKEN_OVER)
            with suppress(OSError):
                os.utime(self.path)


@dataclass(frozen=True)
class _Sign:
    """The last sign of life of a claim: its file's time, and when this process first saw that."""

    changed: int
    seen: float


class Claims:
    """The claims of a sweep, in a folder of their own.

    Args:
        folder: of the claims.
        patience: seconds without a sign of life after which a process that cannot be asked counts as dead.
    """

    def __init__(self, folder: Path, patience: float = PATIENCE) -> None:
        self.folder = folder
        self.patience = patience
        # By file. Clocks of machines differ, so that only what changes while this process looks on counts.
        self._signs: dict[Path, _Sign] = {}

    def take(self, trial: str, run: Path) -> Claim | None:
        """Claim a trial; None where another process has it, or may have it.

        Args:
            trial: its name.
            run: its run folder, in which a training may have been started by hand.
        """
        newest = self._newest(trial)
        previous: dict[str, Any] = {}
        if newest is not None:
            record = _read(newest)
            if not record.get("released"):
                if not self._is_dead(newest, record):
                    return None
                previous = record
        path = self.folder / f"{trial}.0" if newest is None else _numbered(newest, _number(newest) + 1)
        # A training in the folder holds the folder's own lock.
        if _is_locked(run, previous):
            return None
        return None if not _make(path) else Claim(path, previous)

    def holder(self, trial: str) -> dict[str, Any] | None:
        """Return the record of who works on a trial; None where nobody does."""
        newest = self._newest(trial)
        if newest is None:
            return None
        record = _read(newest)
        if record.get("released") or self._is_dead(newest, record):
            return None
        return record

    def left_by(self, trial: str, process: int) -> bool:
        """Return whether a process of this machine, which has ended, had a trial."""
        newest = self._newest(trial)
        record = {} if newest is None else _read(newest)
        return is_of_this_host(record) and record.get("process") == process

    def _newest(self, trial: str) -> Path | None:
        """Return the claim of a trial with the highest number."""
        found = []
        for path in self.folder.glob(f"{trial}.*"):
            # Names of trials may hold points, too.
            if path.name.rpartition(".")[0] == trial and path.suffix[1:].isdecimal():
                found.append(path)
        return max(found, key=_number, default=None)

    def _is_dead(self, path: Path, record: dict[str, Any]) -> bool:
        """Return whether the process of a claim is gone."""
        if record and is_stale(record, certain=False):
            return True
        # The system knows the processes of this machine; of others there are only signs of life.
        if record and is_of_this_host(record):
            return False
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            return False
        now = time.monotonic()
        sign = self._signs.get(path)
        if sign is None or sign.changed != changed:
            self._signs[path] = _Sign(changed, now)
            return False
        return now - sign.seen > self.patience


def _make(path: Path) -> bool:
    """Make a claim; False where another process was faster."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written beside it and then named, so that nobody ever finds a claim that does not say whose it is.
    written = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
    try:
        write_text(written, json.dumps(describe()) + "\n")
        os.link(written, path)
    except FileExistsError:
        return False
    except OSError:
        # A file system without second names.
        return _make_in_place(path)
    finally:
        written.unlink(missing_ok=True)
    return True


def _make_in_place(path: Path) -> bool:
    """Make a claim under its own name, for a moment empty; False where another process was faster."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    except FileExistsError:
        return False
    try:
        os.write(descriptor, json.dumps(describe()).encode() + b"\n")
        # Another machine must be able to read it.
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return True


def _is_locked(run: Path, previous: dict[str, Any]) -> bool:
    """Return whether a training runs in a folder; the lock of the dead process of another machine is removed."""
    try:
        lock.require_unlocked(run)
    except UserError:
        record = lock.record_of(run)
        same = all(record.get(key) == previous.get(key) for key in ("host", "process", "start"))
        if not previous or not record or is_of_this_host(record) or not same:
            return True
        (run / lock.NAME).unlink(missing_ok=True)
    return False


def _read(path: Path) -> dict[str, Any]:
    """Read a claim; empty where it is not written yet."""
    try:
        record = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _number(path: Path) -> int:
    return int(path.suffix[1:])


def _numbered(path: Path, number: int) -> Path:
    return path.with_suffix(f".{number}")
