"""Cores by affinity and quota, bfloat16 by the processor's flags, how processes are started."""

import multiprocessing
import os
from pathlib import Path

import pytest

from densekd import hardware


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the system's control groups; the process may run on 12 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(12)), raising=False)
    monkeypatch.setattr(hardware, "_CGROUPS", tmp_path)
    monkeypatch.setattr(hardware, "_OWN_GROUPS", tmp_path / "own")
    return tmp_path


@pytest.mark.parametrize(
    ("quota", "cores"),
    [("max 100000", 12), ("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1), ("9900000 100000", 12)],
)
def test_cores_of_version_2(groups: Path, quota: str, cores: int) -> None:
    (groups / "own").write_text("0::/jobs/mine\n")
    (groups / "jobs" / "mine").mkdir(parents=True)
    (groups / "jobs" / "cpu.max").write_text(quota)
    assert hardware.usable_cores() == cores


@pytest.mark.parametrize(("quota", "cores"), [("-1", 12), ("300000", 3)])
def test_cores_of_version_1(groups: Path, quota: str, cores: int) -> None:
    (groups / "own").write_text("7:memory:/other\n4:cpu,cpuacct:/mine\n")
    (groups / "cpu" / "mine").mkdir(parents=True)
    (groups / "cpu" / "mine" / "cpu.cfs_quota_us").write_text(quota)
    (groups / "cpu" / "mine" / "cpu.cfs_period_us").write_text("100000")
    assert hardware.usable_cores() == cores


def test_cores_without_a_quota(groups: Path) -> None:
    assert hardware.usable_cores() == 12


def test_bf16_by_the_processors_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_CPUINFO", tmp_path / "cpuinfo")
    assert not hardware.cpu_has_bf16()
    (tmp_path / "cpuinfo").write_text("flags : fpu avx512f avx512bw\n")
    assert not hardware.cpu_has_bf16()
    (tmp_path / "cpuinfo").write_text("flags : fpu avx512f avx512_bf16\n")
    assert hardware.cpu_has_bf16()


def test_saturation_by_the_processors_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "_CPUINFO", tmp_path / "cpuinfo")
    assert not hardware.cpu_saturates()
    (tmp_path / "cpuinfo").write_text("flags : fpu avx avx2 fma\n")
    assert hardware.cpu_saturates()
    (tmp_path / "cpuinfo").write_text("flags : fpu avx avx2 avx512_vnni\n")
    assert not hardware.cpu_saturates()


@pytest.mark.parametrize(("method", "copies"), [("fork", True), ("spawn", False), ("forkserver", False)])
def test_how_processes_start(method: str, copies: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none: method)
    assert hardware.forks() is copies
    # Where nobody has chosen, the system's own.
    monkeypatch.setattr(multiprocessing, "get_start_method", lambda allow_none: None)
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: [method, "spawn"])
    assert hardware.forks() is copies
