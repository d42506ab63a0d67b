"""Free memory, as other systems tell it."""

import ctypes
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from densekd import memory
from densekd.data import maps
from densekd.data.maps import cache_budget
from densekd.memory import available_memory, free_memory, local_processes

PAGES = {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 4000}


@pytest.fixture(autouse=True)
def _no_container(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Tests may themselves run in a container, or under torchrun."""
    monkeypatch.setattr(memory, "_OWN_GROUPS", tmp_path / "nothing")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "nothing")
    for name in memory._LOCAL:
        monkeypatch.delenv(name, raising=False)


def in_container(patch: pytest.MonkeyPatch, tmp_path: Path, group: str, folder: str, files: dict[str, str]) -> None:
    """Write a control group as Linux shows it, and a machine with 40 MB free."""
    (tmp_path / "self").write_text(f"5:cpu,cpuacct:/x\n{group}\n")
    (tmp_path / folder).mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / folder / name).write_text(content)
    patch.setattr(memory, "_OWN_GROUPS", tmp_path / "self")
    patch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    patch.setattr(memory, "_free_on_machine", lambda: 40_000_000)


V2 = {"memory.max": "9000000\n", "memory.current": "5000000\n", "memory.stat": "anon 7\ninactive_file 1000000\n"}
V1 = {
    "memory.limit_in_bytes": "9000000\n",
    "memory.usage_in_bytes": "5000000\n",
    "memory.stat": "inactive_file 3\ntotal_inactive_file 1000000\n",
}


@pytest.mark.parametrize(
    ("group", "folder", "files", "free"),
    [
        ("0::/job/step", "cgroup/job/step", V2, 5_000_000),
        # A group around it is limited, or the container sees its own group as the root.
        ("0::/job/step", "cgroup/job", V2, 5_000_000),
        ("0::/../outside", "cgroup", V2, 5_000_000),
        ("0::/", "cgroup", {**V2, "memory.max": "max\n"}, 40_000_000),
        ("0::/", "cgroup", {**V2, "memory.max": "90000000\n"}, 40_000_000),
        ("0::/", "cgroup", {**V2, "memory.current": "9900000\n"}, 100_000),
        ("0::/", "cgroup", {"memory.max": "9000000\n"}, 40_000_000),
        ("7:memory:/docker/a", "cgroup/memory", V1, 5_000_000),
        ("7:memory:/", "cgroup/memory", {**V1, "memory.limit_in_bytes": "9223372036854771712"}, 40_000_000),
    ],
)
def test_a_container_has_less(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, group: str, folder: str, files: dict[str, str], free: int
) -> None:
    in_container(monkeypatch, tmp_path, group, folder, files)
    assert free_memory() == free


def test_the_processes_of_a_machine_share_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "free_memory", lambda: 48_000)
    assert (local_processes(), cache_budget("auto", 0), cache_budget("auto", 2)) == (1, 24_000, 12_000)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert (local_processes(), cache_budget("auto", 0), cache_budget("auto", 2)) == (4, 6_000, 3_000)
    assert (cache_budget(0.001, 2), cache_budget("off", 2)) == (500_000, 0)


def test_linux_counts_free_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {**PAGES, "SC_AVPHYS_PAGES": 1000}.__getitem__)
    assert free_memory() == 4096 * 1000


def test_files_that_linux_keeps_in_memory_make_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemFree: 1 kB\nMemAvailable: 500 kB\nSwapFree: 10 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    assert free_memory() == 500 << 10
    # Of the processes of the training together, half of it.
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert 4 * 2 * cache_budget("auto", 2) == 250 << 10
    # A kernel that does not say it.
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemFree: 1 kB\nSwapFree: 10 kB\n")
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


def test_what_can_be_made_available(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal: 900 kB\nMemFree: 1 kB\nMemAvailable: 500 kB\nSwapFree: 10 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    assert available_memory() == 510 << 10
    monkeypatch.setattr(memory, "_free_in_container", lambda: 9 << 10)
    assert available_memory() == 9 << 10
    # Elsewhere all memory counts.
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "nothing")
    monkeypatch.setattr(memory, "_free_in_container", lambda: None)
    monkeypatch.setattr(os, "sysconf", PAGES.__getitem__)
    assert available_memory() == 4096 * 4000
