"""The leaderboard: means over seeds, paired differences, and what can be said of them."""

import io
import json
import math
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from tiny_sweeps import filled, tiny_sweep, write_sweep

from densekd.metric_names import MetricName, MetricNames
from densekd.seal import write_document
from densekd.sweep.leaderboard import difference, leaderboard, leaderboard_table, write_leaderboard
from densekd.sweep.queue import Queue
from densekd.terminal import Terminal

SCORES = {"alone-seed0": 40.0, "alone-seed1": 42.0, "alone-seed2": 41.0, "cwd-seed0": 44.0, "cwd-seed1": 45.5}


def finish(queue: Queue, name: str, score: float | None, key: str = "miou", better: Any = "higher") -> None:
    """Leave what a finished training leaves: its results and its report."""
    names = MetricNames((MetricName(key, key, better=better),), (key,))
    run = queue.run(name)
    write_document(run.results, {"metrics": names.to_json(), "split": "val", "student": {key: score}})
    (run.path / "report.html").write_text("")


@pytest.fixture
def queue(recipe: dict[str, Any], tmp_path: Path) -> Queue:
    sweep = tiny_sweep()
    sweep["axes"]["seed"] = [0, 1, 2]
    return filled(write_sweep(tmp_path, recipe, sweep), tmp_path / "out")


def test_rows_are_means_over_seeds_with_paired_differences(queue: Queue) -> None:
    for name, score in SCORES.items():
        finish(queue, name, score)
    queue.fail("cwd-seed2", "no room")
    best, base = leaderboard(queue)
    assert best.point == {"method": "cwd"}
    assert best.mean == mean([44.0, 45.5])
    assert best.deviation == stdev([44.0, 45.5])
    assert best.missing == ["cwd-seed2"]
    assert base.is_baseline
    assert base.difference is None
    # Of two seeds: 3.75 +- 12.7062 * 0.354 / sqrt(2).
    found = best.difference
    assert found is not None
    assert (found.mean, found.pairs) == (3.75, 2)
    assert found.low == pytest.approx(3.75 - 12.7062 * stdev([4.0, 3.5]) / math.sqrt(2))
    assert found.word == "better"
    content = json.loads((queue.path / "leaderboard.json").read_text()) if write_leaderboard(queue) else {}
    assert content["failed"] == {"cwd-seed2": "no room"}
    assert [row["n"] for row in content["rows"]] == [2, 3]


def test_lower_is_better_where_the_metric_says_so(queue: Queue) -> None:
    for name, score in SCORES.items():
        finish(queue, name, score, "abs_rel", "lower")
    first, second = leaderboard(queue)
    assert first.is_baseline
    assert second.difference is not None
    assert second.difference.mean == -3.75
    assert second.difference.word == "worse"


@pytest.mark.parametrize(
    ("gains", "word"),
    [
        ([1.0], "one seed, cannot be told"),
        ([1.0, 1.2, 0.9], "better"),
        ([-1.0, -1.2, -0.9], "worse"),
        ([3.0, -1.0, 1.0], "not distinguishable"),
        ([0.0, 0.0], "not distinguishable"),
    ],
)
def test_a_difference_is_said_as_it_is(gains: list[float], word: str) -> None:
    assert difference(gains).word == word


def test_what_has_no_score_has_no_row(queue: Queue) -> None:
    finish(queue, "alone-seed0", None)
    finish(queue, "alone-seed1", float("nan"))
    queue.run("cwd-seed0").path.mkdir(parents=True)
    queue.run("cwd-seed0").results.write_text("{")
    (queue.run("cwd-seed0").path / "report.html").write_text("")
    assert leaderboard(queue) == []
    assert leaderboard_table([]).row_count == 0


def test_of_a_search_the_best_draw_counts(recipe: dict[str, Any], tmp_path: Path) -> None:
    search = {"trials": 2, "over": {"optimizer.lr": {"choice": [0.1, 0.2, 0.3]}}}
    queue = filled(write_sweep(tmp_path, recipe, tiny_sweep() | {"search": search}), tmp_path / "out")
    for name, score in {"cwd-seed0-draw0": 9.0, "cwd-seed0-draw1": 5.0, "cwd-seed1-draw1": 7.0}.items():
        finish(queue, name, score)
    (row,) = leaderboard(queue)
    # One lucky seed of draw 0 is no mean.
    assert row.draw == 1
    assert row.mean == 6.0
    assert list(row.drawn) == ["optimizer.lr"]


def test_the_table_says_which_differences_are_none(queue: Queue) -> None:
    for name, score in {**SCORES, "cwd-seed1": 41.0, "cwd-seed2": 39.0}.items():
        finish(queue, name, score)
    terminal = Terminal(width=140, record=True, file=io.StringIO())
    terminal.print(leaderboard_table(leaderboard(queue)))
    shown = terminal.export_text()
    assert "not distinguishable" in shown
    assert "41.33" in shown
