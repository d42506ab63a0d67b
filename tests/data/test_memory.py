"""Free memory, as other systems tell it."""

import ctypes
import os
from types import SimpleNamespace
from typing import Any

import pytest

from densekd.data.memory import free_memory

PAGES = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4000}


def test_linux_counts_free_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {**PAGES, "SC_AVPHYS_PAGES": 1000}.__getitem__)
    assert free_memory() == 4096 * 1000


def test_macos_counts_all_pages_and_a_quarter_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    def sysconf(name: str) -> int:
        if name not in PAGES:
            raise ValueError("unrecognized configuration name")
        return PAGES[name]

    monkeypatch.setattr(os, "sysconf", sysconf)
    assert free_memory() == 4096 * 1000


def test_windows_is_asked_by_its_own_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(pointer: Any) -> int:
        assert pointer._obj.length == ctypes.sizeof(pointer._obj) == 64
        pointer._obj.free = 123456
        return 1

    monkeypatch.delattr(os, "sysconf")
    assert free_memory() == 0
    kernel = SimpleNamespace(GlobalMemoryStatusEx=fill)
    monkeypatch.setattr(ctypes, "windll", SimpleNamespace(kernel32=kernel), raising=False)
    assert free_memory() == 123456
