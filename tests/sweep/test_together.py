"""Trials that are trained together are those that were trained alone, to the bit, whatever happens to others."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_data import tiny_recipe
from tiny_sweeps import CPU, filled, tiny_sweep, write_sweep
from training_runs import QUIET, assert_same, losses

from densekd.distill.taps import Taps
from densekd.run.callbacks import Checkpoints
from densekd.run.company import current_member
from densekd.run.train import train
from densekd.stopping import Interrupted
from densekd.sweep.groups import describe_groups
from densekd.sweep.queue import Queue, open_queue
from densekd.sweep.reading import load_sweep
from densekd.sweep.trials import make_trials
from densekd.sweep.work import work

# A student alone, a term without weights, one that draws random masks, one with an adapter.
METHODS: dict[str, Any] = {
    "alone": {"distill": [], "teacher": None},
    "cwd": [],
    "mgd": {"distill": [{"method": "mgd", "student": "features.1", "teacher": "features.1", "weight": 0.1}]},
    "fitnet": {"distill": [{"method": "fitnet", "student": "features.2", "teacher": "features.2", "weight": 0.1}]},
}
# What differs between two runs of the same training: times, and checksums of what holds times.
TIMES = ("seconds", "created", "duration", "latency", "metrics.csv", "checksum")


def queue_of(folder: Path, recipe: dict[str, Any], together: bool | int, *methods: str, **more: Any) -> Queue:
    """Fill a queue with trials of some methods, and of further ones."""
    sweep = tiny_sweep() | {"together": together}
    sweep["axes"] = {"method": {name: METHODS[name] for name in methods} | more}
    return filled(write_sweep(folder, recipe, sweep), folder / "out")


def results(queue: Queue, name: str) -> str:
    """Return a trial's results without its times and the place of its folder."""
    content = json.loads(queue.run(name).results.read_bytes())
    text = json.dumps(_timeless(content), indent=1, sort_keys=True)
    return text.replace(str(queue.path), "")


def _timeless(content: Any) -> Any:
    if isinstance(content, list):
        return [_timeless(one) for one in content]
    if not isinstance(content, dict):
        return content
    kept = {}
    for key, value in content.items():
        if not any(word in key for word in TIMES):
            kept[key] = _timeless(value)
    return kept


def assert_as_alone(singles: Queue, queue: Queue, *names: str) -> None:
    for name in names:
        assert queue.state(name) == "done", queue.failure(name)
        assert_same(singles.run(name).path, queue.run(name).path)
        assert losses(singles.run(name).path) == losses(queue.run(name).path)
        assert results(singles, name) == results(queue, name)


@pytest.fixture(scope="module")
def singles(data_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Queue:
    """Every method, trained alone."""
    queue = queue_of(tmp_path_factory.mktemp("singles"), tiny_recipe(data_root), False, *METHODS)
    assert work(queue, CPU) == len(METHODS)
    return queue


def test_trials_that_are_stopped_and_go_on_together(
    singles: Queue, recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = queue_of(tmp_path, recipe, True, *METHODS)
    with monkeypatch.context() as patch:
        _stop_at(patch, 3)
        passes = _count_passes(patch)
        with pytest.raises(Interrupted) as caught:
            work(queue, CPU)
    assert caught.value.code == 128 + signal.SIGTERM
    # Each has saved its state and gave its claim back; the first had begun its step before the others.
    assert [queue.state(name) for name in METHODS] == ["interrupted"] * 4
    assert all(queue.run(name).last.is_file() for name in METHODS)
    # One pass a step for three trials; the first one, which is whole, does not count.
    assert len(passes) == 2
    # A single command goes on with one of them, and the others are trained together to their end.
    train(queue.recipe("mgd"), queue.run("mgd"), CPU.launch, "resume", QUIET)
    assert work(queue, CPU) == 3
    assert_as_alone(singles, queue, *METHODS)


def _stop_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """Send a signal when the first of all trials ends a step, and wait until it is heard."""
    original = Checkpoints.on_train_batch_end

    def stop(self: Any, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        member = current_member()
        assert member is not None
        if trainer.global_step == step and not member.stop.number:
            os.kill(os.getpid(), signal.SIGTERM)
            while not member.stop.number:
                time.sleep(0.01)
        original(self, trainer, module, outputs, batch, batch_idx)

    monkeypatch.setattr(Checkpoints, "on_train_batch_end", stop)


def test_a_killed_process_and_failed_trials(singles: Queue, recipe: dict[str, Any], tmp_path: Path) -> None:
    """One that cannot be built and one whose loss overflows end alone; a kill loses nothing."""
    wrong = "distill.0.student=nowhere"
    huge = {"optimizer": {"method": "sgd", "lr": 1e15}}
    queue = queue_of(tmp_path, recipe, True, "cwd", "fitnet", wrong=wrong, huge=huge)
    command = [sys.executable, "-m", "densekd.sweep.worker", str(queue.path), "cpu", "1", str(os.getpid())]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True)
    deadline = time.monotonic() + 120
    while queue.steps("fitnet")[0] < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    process.wait()
    work(queue, CPU)
    assert [queue.state(name) for name in ("wrong", "huge")] == ["failed", "failed"]
    assert "nowhere" in (queue.failure("wrong") or "")
    assert "finite" in (queue.failure("huge") or "")
    assert_as_alone(singles, queue, "cwd", "fitnet")


def _count_passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count passes of the teacher by its taps, to the end of a list."""
    passes: list[int] = []
    extract = Taps.extract

    def counted(self: Taps, *inputs: Any) -> Any:
        passes.append(1)
        return extract(self, *inputs)

    monkeypatch.setattr(Taps, "extract", counted)
    return passes


def described(folder: Path, recipe: dict[str, Any], sweep: dict[str, Any]) -> str:
    file = write_sweep(folder, recipe, sweep)
    spec = load_sweep(file)
    return describe_groups(spec, make_trials(spec, file))


def test_groups_are_trials_of_one_stream_of_batches(recipe: dict[str, Any], tmp_path: Path) -> None:
    sweep = tiny_sweep() | {"together": True}
    assert described(tmp_path, recipe, sweep) == "together: 2 groups of 2, 2 trials"
    # What differs in the batches is trained alone, and what cannot be shared.
    sweep["axes"]["method"]["timed"] = {"training": {"steps": None, "seconds": 5}}
    sweep["exclude"] = [{"method": "timed", "seed": 1}, {"method": "cwd", "seed": 1}]
    line = described(tmp_path, recipe, sweep)
    assert line.startswith("together: 1 group of 2 trials; alone: ")
    assert "alone-seed1 (no other sees the same batches), timed-seed0 (training.seconds)" in line
    # At most so many at once.
    sweep = tiny_sweep() | {"together": 2}
    sweep["axes"] = {"optimizer.lr": [0.1, 0.01, 0.001, 0.0001, 0.00001]}
    line = described(tmp_path, recipe, sweep)
    assert line == "together: 2 groups of 2, 2 trials; alone: lr1e-05 (no other sees the same batches)"


def test_a_group_belongs_to_one_process(recipe: dict[str, Any], tmp_path: Path) -> None:
    queue = queue_of(tmp_path, recipe, True, "alone", "cwd", "fitnet")
    taken = queue.take()
    assert taken is not None
    # Somebody else finds nothing, though two trials are not taken yet.
    assert open_queue(queue.path).take() is None
    others = queue.take_others(taken[0])
    assert [entry.name for entry, _ in others] == ["cwd", "fitnet"]
    for _, claim in [taken, *others]:
        claim.release()
    # A group that its process died of is trained one by one.
    queue.part(["alone", "cwd", "fitnet"])
    alone = queue.take()
    assert alone is not None
    assert queue.take_others(alone[0]) == []
    alone[1].release()


def test_sweeps_of_earlier_versions_have_no_groups(recipe: dict[str, Any], tmp_path: Path) -> None:
    queue = queue_of(tmp_path, recipe, False, "alone", "cwd")
    assert [entry.group for entry in queue.entries] == ["", ""]
    assert "group" in yaml.safe_load((queue.path / "sweep.json").read_text())["trials"][0]
