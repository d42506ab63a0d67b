"""Rows of metrics.csv belong to the step whose number they carry."""

from pathlib import Path
from typing import Any

import pytest
from training_runs import losses, parsed, run


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
