"""A training that waits for its data says so, and what to change; one that does not is quiet."""

import csv
import io
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from training_runs import CPU, QUIET, assert_same, losses, parsed, run

from densekd.data import waiting
from densekd.data.maps import TrainingSet
from densekd.data.waiting import Waiting
from densekd.distill.distiller import Distiller
from densekd.run import data_wait, fit
from densekd.run.data_wait import DataWait, advise, waits
from densekd.run.folder import RunFolder
from densekd.run.preflight import check
from densekd.run.train import train


def spend(monkeypatch: pytest.MonkeyPatch, reading: float, computing: float, wait: Callable[[float], object]) -> None:
    """Let each image, and each step without its data, take so many seconds more."""
    read, step = TrainingSet.__getitem__, Distiller.training_step

    def longer_read(self: Any, key: Any) -> Any:
        wait(reading)
        return read(self, key)

    def longer_step(self: Distiller, *arguments: Any) -> Any:
        wait(computing)
        return step(self, *arguments)

    monkeypatch.setattr(TrainingSet, "__getitem__", longer_read)
    monkeypatch.setattr(Distiller, "training_step", longer_step)


class Clock:
    """A clock that stands still but for what is spent on it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def spend(self, seconds: float) -> None:
        self.now += seconds


def shares(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open(newline="") as handle:
        return [float(row["data_wait"]) for row in csv.DictReader(handle) if row["data_wait"]]


def said_by(recipe: dict[str, Any], folder: Path) -> str:
    stream = io.StringIO()
    train(parsed(recipe), RunFolder(folder), CPU, "refuse", Console(file=stream, width=200))
    return stream.getvalue()


def test_a_slow_data_set_is_reported_and_changes_nothing(
    recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A few steps are enough here to judge by.
    monkeypatch.setattr(DataWait.__init__, "__defaults__", (0.0,))
    monkeypatch.setattr(data_wait, "usable_cores", lambda: 16)
    clock = Clock()
    for module in (waiting, fit):
        monkeypatch.setattr(module, "time", clock)
    recipe["training"] |= {"steps": 5, "log_every": 1}
    said: dict[str, str] = {}
    # Four images make a batch.
    for name, reading in (("fast", 0.001), ("slow", 0.06)):
        with monkeypatch.context() as patch:
            spend(patch, reading, 0.05, clock.spend)
            said[name] = said_by(recipe, tmp_path / name)
        # The first batch is not counted; validation belongs to no step.
        share = 4 * reading / (4 * reading + 0.05)
        assert shares(tmp_path / name) == pytest.approx([0, *[share] * 4], rel=1e-4)
    assert "for data" not in said["fast"]
    assert "83% waiting for data" in said["slow"]
    # Once, however many records follow.
    assert said["slow"].count("of its time for data: write data.workers: 7 (now 0, 16 cores here)") == 1
    assert_same(tmp_path / "fast", tmp_path / "slow")
    assert losses(tmp_path / "fast") == losses(tmp_path / "slow")


def test_rows_of_a_run_that_knew_no_waiting_are_kept(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["training"] |= {"steps": 4, "log_every": 1, "checkpoint_every": 4}
    run(parsed(recipe), tmp_path)
    # The column is no part of the checksum in a checkpoint, so that it may be missing.
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    place = rows[0].split(",").index("data_wait")
    for number, row in enumerate(rows):
        cells = row.split(",")
        del cells[place]
        rows[number] = ",".join(cells)
    (tmp_path / "metrics.csv").write_text("\n".join(rows) + "\n")
    train(parsed(recipe), RunFolder(tmp_path), CPU, "resume", QUIET)
    assert list(tmp_path.glob("metrics.csv.*")) == []
    assert len(losses(tmp_path)) == 5


def test_check_says_what_more_processes_would_bring(recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    spend(monkeypatch, 0.1, 0, time.sleep)
    found = rows_of(recipe)
    assert int(found["waiting for data"].partition("%")[0]) > 20
    assert "of its time for data" in found["warning"]
    recipe["data"]["workers"] = 64
    found = rows_of(recipe)
    assert found["waiting for data"].startswith("0% of a step")
    assert "warning" not in found


def rows_of(recipe: dict[str, Any]) -> dict[str, str]:
    table = check(parsed(recipe), CPU.devices)
    cells = zip(map(str, table.columns[0].cells), map(str, table.columns[1].cells), strict=True)
    return {what: found for what, found in cells if what != "warning" or "for data" in found}


@pytest.mark.parametrize(
    ("loading", "computing", "workers", "expected"),
    [(0.3, 0.1, 0, 0.3), (0.3, 0.1, 1, 0.2), (0.3, 0.1, 2, 0.05), (0.3, 0.1, 4, 0.0)],
)
def test_seconds_that_wait(loading: float, computing: float, workers: int, expected: float) -> None:
    assert waits(loading, computing, workers) == pytest.approx(expected)


def test_the_first_record_and_short_times_are_no_reason() -> None:
    wait = DataWait(Waiting(), 0, after=10)
    for waited, seconds, is_said in [(60, 60, False), (2, 8, False), (1, 4, True), (4, 4, False)]:
        wait.waiting.seconds += waited
        assert wait.share(seconds) == pytest.approx(waited / seconds)
        assert (wait.advice() is not None) is is_said


@pytest.mark.parametrize(
    ("workers", "cores", "part"),
    [
        (0, 16, "data.workers: 7 (now 0"),
        (0, 2, "data.workers: 1 (now 0"),
        (4, 16, "data.workers: 8 (now 4"),
        (6, 8, "data.workers: 7 (now 6"),
        (7, 8, "no core left for more loading processes: use shards"),
        (0, 1, "no core left for more loading processes: use shards"),
    ],
)
def test_what_to_change(workers: int, cores: int, part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(data_wait, "usable_cores", lambda: cores)
    assert part in advise(0.43, workers)
    assert advise(0.43, workers).startswith("a step waits 43% of its time for data")
