"""Work on a queue: killed and stopped at any moment, with failures, in several processes."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from forked import Forked
from tiny_data import tiny_recipe
from tiny_sweeps import CPU, filled, tiny_sweep, write_sweep
from training_runs import assert_same, losses

from densekd.sweep.queue import Queue
from densekd.sweep.work import work

SIX = 4 * 6


@pytest.fixture(scope="module")
def alone(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Queue:
    """The sweep, left alone from its first step to its last, in this process."""
    folder = tmp_path_factory.mktemp("alone")
    queue = filled(write_sweep(folder, tiny_recipe(data_root), tiny_sweep()), folder / "out")
    assert work(queue, CPU) == 4
    return queue


def started(*words: object) -> subprocess.Popen[bytes]:
    """Start a process of a sweep, in a group of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    command = [sys.executable, "-m", *map(str, words)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, start_new_session=True)


def forked(*words: object) -> Forked:
    """Do the same without its imports; of processes that it starts itself, it is the parent."""
    return Forked("-m", *words, out=Path(os.devnull), group=True)


def wait_for_step(queue: Queue, step: int, process: Forked) -> None:
    """Wait until all trials together have recorded so many optimizer steps, or the process has ended."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if sum(queue.steps(entry.name)[0] for entry in queue.entries) >= step:
            return
        time.sleep(0.02)
    assert process.poll() is not None, "it does nothing"


def assert_equal_sweeps(one: Queue, other: Queue) -> None:
    for entry in one.entries:
        assert_same(one.run(entry.name).path, other.run(entry.name).path)
        assert losses(one.run(entry.name).path) == losses(other.run(entry.name).path)
    boards = [(queue.path / "leaderboard.json").read_bytes() for queue in (one, other)]
    assert boards[0] == boards[1]


def test_a_sweep_that_is_stopped_twice_ends_as_one_left_alone(
    alone: Queue, recipe: dict[str, Any], tmp_path: Path
) -> None:
    file, out = write_sweep(tmp_path, recipe, tiny_sweep()), tmp_path / "out"
    command = ("densekd", "sweep", file, "--out", out, "--jobs", 2, "--accelerator", "cpu")
    queue, seed = filled(file, out), random.randrange(1000)
    print(f"stopped by seed {seed}")
    draw = random.Random(seed)
    # Killed, all of its processes, somewhere in the first half.
    sweep = forked(*command)
    wait_for_step(queue, draw.randint(1, SIX // 2), sweep)
    time.sleep(draw.random() / 2)
    sweep.kill()
    sweep.wait()
    for entry in queue.entries:
        holder = queue.claims.holder(entry.name)
        if holder is not None:
            os.kill(holder["process"], signal.SIGKILL)
    # Asked to stop somewhere in the second half: everybody gives back what he has.
    sweep = forked(*command)
    wait_for_step(queue, draw.randint(SIX // 2 + 1, SIX - 2), sweep)
    sweep.send_signal(signal.SIGTERM)
    assert sweep.wait(60) == 128 + signal.SIGTERM
    assert {queue.state(entry.name) for entry in queue.entries} <= {"waiting", "interrupted", "done"}
    # To the end by two processes, which never train the same trial.
    assert forked(*command).wait(300) == 0
    assert_equal_sweeps(alone, queue)
    # Stopped behind the last step, it says that step again, and makes its report once.
    ends = [queue.log(entry.name).read_text().count("report:") for entry in queue.entries]
    assert ends == [1] * 4
    # A claim for each start of a trial, of which there were at most three.
    numbers = [len(list(queue.claims.folder.glob(f"{entry.name}.*"))) for entry in queue.entries]
    assert max(numbers) <= 3


def test_a_failed_trial_is_listed_and_stops_no_other(recipe: dict[str, Any], tmp_path: Path) -> None:
    sweep = tiny_sweep()
    sweep["axes"] = {"method": {"wrong": "distill.0.student=nowhere", "alone": sweep["axes"]["method"]["alone"]}}
    queue = filled(write_sweep(tmp_path, recipe, sweep), tmp_path / "out")
    assert work(queue, CPU) == 1
    assert [queue.state(entry.name) for entry in queue.entries] == ["failed", "done"]
    assert "nowhere" in (queue.failure("wrong") or "")
    assert "Traceback" in queue.log("wrong").read_text()
    # Nobody takes it again until it is forgiven.
    assert work(queue, CPU) == 0


def test_a_process_ends_with_the_one_that_started_it(recipe: dict[str, Any], tmp_path: Path) -> None:
    queue = filled(write_sweep(tmp_path, recipe, tiny_sweep()), tmp_path / "out")
    # Its parent is said to be a process that is gone.
    worker = started("densekd.sweep.worker", queue.path, "cpu", 1, 1 << 22)
    # By the signal itself where it comes before anything is trained.
    assert worker.wait(60) in (128 + signal.SIGTERM, -signal.SIGTERM)
