"""Processor of this machine: cores that this process may use, bfloat16, and how processes are started."""

import multiprocessing
import os
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")
# Instructions that multiply in bfloat16; a processor without them computes it through float32, which is slower.
_BF16 = ("avx512_bf16", "amx_bf16")
# How much of the processor a control group of Linux may use: ``quota period`` of version 2, two files of version 1.
_CGROUPS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cores() -> int:
    """Return how many cores this process may use: its affinity, or less where a container's quota is smaller."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity is not None else (os.cpu_count() or 1)
    quota = _quota()
    # Half a core is one; a quota of 2.5 cores keeps two busy.
    return cores if quota is None else max(1, min(cores, int(quota)))


def cpu_has_bf16() -> bool:
    """Return whether the processor multiplies in bfloat16 itself, as Linux lists it."""
    flags = _flags()
    return any(name in flags for name in _BF16)


def cpu_saturates() -> bool:
    """Return whether sums of two 8-bit products are cut off at 16 bits: on x86 without VNNI, as Linux lists it."""
    flags = _flags()
    return "avx2" in flags and "vnni" not in flags


def _flags() -> str:
    """Return what Linux says of the processors; nothing elsewhere."""
    try:
        return _CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def forks() -> bool:
    """Return whether processes begin as copies of this one, at once, and not by importing everything again."""
    chosen = multiprocessing.get_start_method(allow_none=True)
    # The first of the list is what a process is started by where nobody has chosen.
    return (chosen or multiprocessing.get_all_start_methods()[0]) == "fork"


def _quota() -> float | None:
    """Return the cores that the control groups around this process allow; None without a limit."""
    found: list[float] = []
    for folder in _groups():
        text = _read(folder / "cpu.max")
        parts = text.split() if text else [_read(folder / "cpu.cfs_quota_us"), _read(folder / "cpu.cfs_period_us")]
        # No limit is written as max, or as -1.
        if len(parts) == 2 and all(part.isdecimal() and int(part) > 0 for part in parts):
            found.append(int(parts[0]) / int(parts[1]))
    return min(found, default=None)


def _groups() -> list[Path]:
    """Return the folders of this process's control groups that may limit the processor, and of those around them."""
    folders: list[Path] = []
    for line in _read(_OWN_GROUPS).splitlines():
        controllers, _, path = line.partition(":")[2].partition(":")
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = _CGROUPS / "cpu" if controllers else _CGROUPS
        # A container may see its own group as the root, and be told the path outside.
        inside = Path(path.lstrip("/"))
        folders += [root / part for part in (inside, *inside.parents)]
    return folders


def _read(path: Path) -> str:
    """Return a file's text; nothing where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
