"""The command ``sweep``: what it refuses, what --status shows, exit statuses."""

from pathlib import Path
from typing import Any

import pytest
from tiny_sweeps import filled, tiny_sweep, write_sweep

from densekd.metric_names import MetricName, MetricNames
from densekd.seal import write_document
from densekd.sweep.queue import Queue


@pytest.fixture
def file(recipe: dict[str, Any], tmp_path: Path) -> Path:
    return write_sweep(tmp_path, recipe, tiny_sweep())


def finish(queue: Queue, score: float) -> None:
    """Leave in each trial what a finished training leaves."""
    names = MetricNames((MetricName("miou", "mIoU"),), ("miou",))
    for number, entry in enumerate(queue.entries):
        content = {"metrics": names.to_json(), "split": "val", "student": {"miou": score + number}}
        write_document(queue.run(entry.name).results, content)
        (queue.run(entry.name).path / "report.html").write_text("")


def test_status_shows_every_trial_and_trains_nothing(run: Any, file: Path, tmp_path: Path) -> None:
    queue = filled(file, tmp_path / "out")
    finish(queue, 40)
    (queue.run("cwd-seed1").path / "report.html").unlink()
    queue.fail("cwd-seed1", "[no] room")
    before = set(tmp_path.rglob("*"))
    status, printed = run("sweep", file, "--out", tmp_path / "out", "--status")
    assert status == 1, printed
    assert "failed: cwd-seed1: [no] room" in printed
    assert "1 of 4 trials failed" in printed
    assert "4 trials: 3 done, 1 failed" in printed
    assert "40.50" in printed
    assert {path.name for path in set(tmp_path.rglob("*")) - before} == {"leaderboard.json"}


def test_status_says_where_interrupted_trials_stand(run: Any, file: Path, tmp_path: Path) -> None:
    queue = filled(file, tmp_path / "out")
    # What a hard kill leaves: a state, rows of metrics; of another trial that of its student alone.
    for left in (queue.run("cwd-seed0"), queue.run("cwd-seed1").baseline):
        left.last.parent.mkdir(parents=True)
        left.last.touch()
        (left.path / "metrics.csv").write_text("step,loss\n2,0.5\n4,0.25\n")
    status, printed = run("sweep", file, "--out", tmp_path / "out", "--status")
    assert status == 0, printed
    words = " ".join(printed.replace("\u2502", "").split())
    assert "4 trials: 2 interrupted (cwd-seed0 at step 4 of 6, cwd-seed1 at step 0 of 6), 2 waiting" in words
    assert "cwd-seed0 interrupted 4 of 6" in words
    assert "its student alone: step 4" in words


def test_a_finished_sweep_has_nothing_left_to_do(run: Any, file: Path, tmp_path: Path) -> None:
    finish(filled(file, tmp_path / "out"), 40)
    status, printed = run("sweep", file, "--out", tmp_path / "out", "--jobs", 3)
    assert status == 0, printed
    assert "4 trials in" in printed
    assert "baseline" in printed


def test_what_is_wrong_is_said_before_anything_is_written(run: Any, file: Path, tmp_path: Path) -> None:
    file.write_text(file.read_text().replace("cwd: []", "cwd: data.btach=3"))
    status, printed = run("sweep", file, "--out", tmp_path / "out")
    assert status == 2, printed
    assert "data.btach: unknown key" in printed.replace("\n", " ")
    assert not (tmp_path / "out").exists()


def test_status_of_no_sweep_is_an_error(run: Any, file: Path, tmp_path: Path) -> None:
    status, printed = run("sweep", file, "--out", tmp_path / "out", "--status")
    assert (status, "no sweep was started in this folder" in printed.replace("\n", " ")) == (1, True), printed
