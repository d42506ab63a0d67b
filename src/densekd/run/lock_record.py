"""Record of who holds a lock: host, process, since when; and whether that process is gone."""

import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

_LONGEST = 1 << 16
# States of a process, in Linux's letters: zombie, dead.
_ENDED = ("Z", "X")


def describe() -> dict[str, Any]:
    """Return the record of this process: host, number, since when, start of machine and process, job."""
    return {
        "host": platform.node(),
        "process": os.getpid(),
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "boot": _boot(),
        "start": _start(os.getpid()),
        **_job(),
    }


def write_record(descriptor: int) -> None:
    """Say who holds the lock."""
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, json.dumps(describe()).encode() + b"\n")
    # Another machine must be able to read it.
    os.fsync(descriptor)


def read_record(descriptor: int) -> dict[str, Any]:
    """Read who holds the lock; empty where nothing readable says it."""
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        record = json.loads(os.read(descriptor, _LONGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def is_stale(record: dict[str, Any], certain: bool) -> bool:
    """Return whether the process that wrote a record is gone.

    Args:
        record: what it wrote.
        certain: the system gave the lock away, and knows of all processes of this machine.
    """
    boot = _boot()
    same_boot = boot is not None and record.get("boot") == boot
    # A container has another name and the same kernel; a machine that was started again the same name.
    if certain and (same_boot or is_of_this_host(record)):
        return True
    # A scheduler that starts a job again has ended it before.
    job = _job()
    if job and job["job"] == record.get("job") and job["restart"] > int(record.get("restart", 0)):
        return True
    if not is_of_this_host(record):
        return False
    if boot is not None and not same_boot:
        return True
    return not _lives(record)


def is_of_this_host(record: dict[str, Any]) -> bool:
    """Return whether a process of this machine, by its name, wrote a record."""
    return record.get("host") == platform.node()


def _lives(record: dict[str, Any]) -> bool:
    """Return whether the process of a record lives on this machine; another one may have its number by now."""
    process = record.get("process")
    # Asking Windows by a signal would end the process.
    if not isinstance(process, int) or os.name != "posix":
        return os.name != "posix"
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    status = _status(process)
    # Of one that has ended, and whose parent has not asked how, the number is left.
    if status and status[0] in _ENDED:
        return False
    return bool(_start(process) == record.get("start"))


def _start(process: int) -> str | None:
    """Return when a process of this machine started, in Linux's own unit; None elsewhere."""
    status = _status(process)
    return status[19] if status else None


def _status(process: int) -> list[str]:
    """Return what Linux says of a process, from its state on; nothing elsewhere."""
    try:
        status = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    # The program's name, in brackets, may hold anything.
    return status.rpartition(")")[2].split()


def _boot() -> str | None:
    """Return what this start of the machine is called; None where it has no name."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return None


def _job() -> dict[str, Any]:
    """Return SLURM's number of the job, and how often it was started again; empty outside of one."""
    if "SLURM_JOB_ID" not in os.environ:
        return {}
    restart = os.environ.get("SLURM_RESTART_COUNT", "0")
    return {"job": os.environ["SLURM_JOB_ID"], "restart": int(restart) if restart.isdigit() else 0}


def holder(record: dict[str, Any]) -> str:
    """Say who holds a lock, and since when."""
    if not record:
        return "a process that has not said which"
    process, host, since = (record.get(key, "unknown") for key in ("process", "host", "since"))
    return f"process {process} on {host}, since {since}"
