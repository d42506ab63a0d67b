"""Free memory of this machine or container, on Linux, macOS and Windows; how many processes share it."""

import ctypes
import os
from pathlib import Path
from typing import Any

# Where a system does not count free memory, a quarter of all of it is taken to be free.
_SHARE_OF_ALL = 4


# Control groups of Linux, version 2 and version 1, and how much memory one may use and uses.
_CGROUPS = Path("/sys/fs/cgroup")
_OF_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
_OF_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
# Which group a process belongs to: lines ``number:controllers:path``.
_OWN_GROUPS = Path("/proc/self/cgroup")
# What Linux can make available, in lines ``name: number kB``: files that are kept in memory make room.
_MEMINFO = Path("/proc/meminfo")
_AVAILABLE, _SWAP = "MemAvailable", "SwapFree"
# Version 1 writes a number near 2**63 where there is no limit.
_NO_LIMIT = 1 << 60
# Processes of a training on this machine, as torchrun, Slurm and we ourselves say it.
SHARED = "DENSEKD_LOCAL_PROCESSES"
_LOCAL = ("LOCAL_WORLD_SIZE", "SLURM_NTASKS_PER_NODE", SHARED)


def free_memory() -> int:
    """Return the bytes of memory that are free now, or an estimate; 0 where the system tells nothing.

    Files that the system keeps in memory count as free on Linux, swap does not. A container's limit counts
    where it is lower than what the machine has.
    """
    limit = _free_in_container()
    free = _free_on_machine()
    if limit is None:
        return free
    return min(limit, free) if free else limit


def available_memory() -> int | None:
    """Return the bytes that a process can get at most, files kept in memory and swap counted; None if unknown.

    Where a system does not tell it, all of its memory counts as available.
    """
    machine = _told_by_linux(_AVAILABLE, _SWAP)
    if machine is None:
        pages = _sysconf("SC_PHYS_PAGES")
        machine = None if pages is None else pages * (_sysconf("SC_PAGE_SIZE") or 0)
    if machine is None:
        machine = _free_memory_of_windows()
    container = _free_in_container()
    known = [one for one in (machine, container) if one]
    return min(known, default=None)


def local_processes() -> int:
    """Return how many processes of this training share the memory of this machine; 1 where nobody says."""
    for name in _LOCAL:
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) > 0:
            return int(value)
    return 1


def _free_on_machine() -> int:
    # Of a machine that has read its data once, nearly all memory holds files, and few pages are free.
    available = _told_by_linux(_AVAILABLE)
    if available is not None:
        return available
    pages = _sysconf("SC_AVPHYS_PAGES")
    if pages is not None:
        return pages * (_sysconf("SC_PAGE_SIZE") or 0)
    # macOS counts all pages and not the free ones.
    pages = _sysconf("SC_PHYS_PAGES")
    if pages is not None:
        return pages * (_sysconf("SC_PAGE_SIZE") or 0) // _SHARE_OF_ALL
    return _free_memory_of_windows()


def _told_by_linux(*names: str) -> int | None:
    """Return the sum of what Linux says of its memory; None where it does not say the first."""
    try:
        lines = _MEMINFO.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return None
    found: dict[str, int] = {}
    for line in lines:
        name, _, rest = line.partition(":")
        number = rest.split()[:1]
        if name in names and number and number[0].isdecimal():
            found[name] = int(number[0]) << 10
    return sum(found.values()) if names[0] in found else None


def _free_in_container() -> int | None:
    """Return what is left below the lowest limit of this process's control groups; None without one."""
    left: list[int] = []
    for folder, names in _groups():
        limit, used, reclaimable = names
        most, now = _number(folder / limit), _number(folder / used)
        if most is None or now is None or most >= _NO_LIMIT:
            continue
        # Files that nobody reads any more are counted as used, and make room when it is needed.
        left.append(max(0, most - now + _statistic(folder / "memory.stat", reclaimable)))
    return min(left, default=None)


def _groups() -> list[tuple[Path, tuple[str, str, str]]]:
    """Return the folders of this process's control groups and of those around them, with their files."""
    try:
        lines = _OWN_GROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found: list[tuple[Path, tuple[str, str, str]]] = []
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            root, names = _CGROUPS, _OF_VERSION_2
        elif "memory" in controllers.split(","):
            root, names = _CGROUPS / "memory", _OF_VERSION_1
        else:
            continue
        # A container may see its own group as the root, and be told the path outside.
        inside = Path(path.lstrip("/"))
        found += [(root / part, names) for part in (inside, *inside.parents) if (root / part).is_dir()]
    return found


def _number(path: Path) -> int | None:
    """Read a number; ``max`` stands for none."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _statistic(path: Path, name: str) -> int:
    """Read a line ``name number`` of a control group's statistics; 0 where there is none."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    for line in lines:
        key, _, value = line.partition(" ")
        if key == name and value.strip().isdecimal():
            return int(value)
    return 0


def _sysconf(name: str) -> int | None:
    """Return a number that the system tells of itself, or None: Windows tells none, macOS not all."""
    read: Any = getattr(os, "sysconf", None)
    if read is None:
        return None
    try:
        value = int(read(name))
    except (ValueError, OSError):
        return None
    return value if value > 0 else None


def _free_memory_of_windows() -> int:
    """Ask Windows for its free memory; 0 on any other system."""
    libraries: Any = getattr(ctypes, "windll", None)
    if libraries is None:
        return 0
    status = _MemoryStatus()
    status.length = ctypes.sizeof(status)
    if not libraries.kernel32.GlobalMemoryStatusEx(ctypes.byref(status)):
        return 0
    return int(status.free)


class _MemoryStatus(ctypes.Structure):
    """MEMORYSTATUSEX of the Windows API."""

    _fields_ = (
        ("length", ctypes.c_uint32),
        ("load", ctypes.c_uint32),
        ("all", ctypes.c_uint64),
        ("free", ctypes.c_uint64),
        ("all_page_file", ctypes.c_uint64),
        ("free_page_file", ctypes.c_uint64),
        ("all_virtual", ctypes.c_uint64),
        ("free_virtual", ctypes.c_uint64),
        ("free_extended", ctypes.c_uint64),
    )
