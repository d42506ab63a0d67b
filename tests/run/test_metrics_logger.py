"""Rows of metrics.csv belong to the step whose number they carry."""

import time
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from training_runs import losses, parsed, run

from densekd.run.folder import RunFolder
from densekd.run.launch import Launch
from densekd.run.metrics_logger import MetricsLogger
from densekd.run.time_left import TimeLeft
from densekd.run.train import train
from densekd.terminal import Terminal


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_learning_rate_is_that_of_the_step(recipe: dict[str, Any], tmp_path: Path, accumulate: int) -> None:
    recipe["optimizer"] = {"method": "sgd", "lr": 0.08, "power": 1.0, "warmup": 4, "warmup_ratio": 0.25}
    recipe["training"] = {"steps": 8, "log_every": 1, "accumulate": accumulate}
    recipe["logging"] = ["csv"]
    run(parsed(recipe), tmp_path)
    # Step k is taken after k - 1 others: warm-up from a quarter over four steps, times 1 - (k - 1) / 8.
    warmup = [1 / 4, 7 / 16, 10 / 16, 13 / 16, 1, 1, 1, 1]
    expected = [0.08 * factor * (1 - n / 8) for n, factor in enumerate(warmup)]
    rows = [row for row in losses(tmp_path) if row["loss"]]
    assert [int(row["step"]) for row in rows] == list(range(1, 9))
    assert [float(row["lr"]) for row in rows] == pytest.approx(expected, rel=1e-5)
    # Lightning's loggers, which count from zero, hold the same numbers.
    logged = [row for row in losses(tmp_path / "csv") if row["loss"]]
    assert [float(row["lr"]) for row in logged] == pytest.approx(expected, rel=1e-5)


def test_lines_fit_a_terminal_and_say_the_time_left(recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe["training"] = {"steps": 4, "log_every": 1, "validate_every": 2}
    stream = StringIO()
    train(parsed(recipe), RunFolder(tmp_path), Launch("cpu"), "refuse", Terminal(file=stream, width=80))
    lines = stream.getvalue().splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == ["precision", "loading processes"]
    assert lines[2] == f"training without a teacher ({tmp_path})"
    said = [line for line in lines if line.startswith("step ")]
    assert any(line.startswith("step 4/4  loss ") and " s/step  0:00 left" in line for line in said)
    assert max(map(len, said)) <= 80


def test_silence_is_broken_before_the_first_record(recipe: dict[str, Any], tmp_path: Path) -> None:
    logger = MetricsLogger(tmp_path / "metrics.csv", 1000, Terminal(file=(stream := StringIO())))
    logger.left = TimeLeft(100, 0)
    logger.left.begin(0, time.perf_counter() - 40)
    logger.left.stepped(1, time.perf_counter())
    logger.printed -= 40
    trainer: Any = SimpleNamespace(is_global_zero=True, max_steps=100)
    logger._break_silence(trainer, 1)
    logger._break_silence(trainer, 2)
    line = stream.getvalue()
    assert line.startswith("step 1/100  40.0")
    assert line.rstrip().endswith("left")
    assert line.count("\n") == 1


class Bar:
    """Bars of a validation, as they are told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    def add_task(self, what: str, total: int, **fields: Any) -> int:
        self.told.append((what, total))
        return 1

    def update(self, task: int, completed: int) -> None:
        self.told.append(("completed", completed))

    def remove_task(self, task: int) -> None:
        self.told.append(("removed", task))


def test_a_validation_has_a_bar(tmp_path: Path) -> None:
    logger = MetricsLogger(tmp_path / "metrics.csv", 1, Terminal(file=StringIO()))
    bar: Any = Bar()
    logger.bar = bar
    trainer: Any = SimpleNamespace(num_val_batches=[3], callback_metrics={}, is_global_zero=False, global_step=2)
    module: Any = None
    logger.on_validation_start(trainer, module)
    for batch in range(3):
        logger.on_validation_batch_end(trainer, module, None, None, batch)
    logger.on_validation_end(trainer, module)
    assert bar.told == [("validating", 3), ("completed", 1), ("completed", 2), ("completed", 3), ("removed", 1)]
    assert logger.left.validated[1] == 1
