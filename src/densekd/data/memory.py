"""Free memory of this machine, on Linux, macOS and Windows."""

import ctypes
import os
from typing import Any

# Where a system does not count free memory, a quarter of all of it is taken to be free.
_SHARE_OF_ALL = 4


def free_memory() -> int:
    """Return the bytes of memory that are free now, or an estimate; 0 where the system tells nothing."""
    pages = _sysconf("SC_AVPHYS_PAGES")
    if pages is not None:
        return pages * (_sysconf("SC_PAGE_SIZE") or 0)
    # macOS counts all pages and not the free ones.
    pages = _sysconf("SC_PHYS_PAGES")
    if pages is not None:
        return pages * (_sysconf("SC_PAGE_SIZE") or 0) // _SHARE_OF_ALL
    return _free_memory_of_windows()


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
