"""Learning rates that are a hundred times too high, or a thousand times too low."""

from typing import Any

import pytest
from training_runs import parsed

from densekd.doctor.case import open_case
from densekd.doctor.rate import examine_rate


@pytest.mark.parametrize(
    ("rate", "names"),
    [
        (0.001, []),
        (0.01, []),
        (10.0, ["learning-rate-too-high"]),
        (3e-6, ["learning-rate-too-low"]),
    ],
)
def test_learning_rates(healthy: dict[str, Any], rate: float, names: list[str]) -> None:
    healthy["optimizer"]["lr"] = rate
    found = examine_rate(open_case(parsed(healthy), None))
    assert [finding.name for finding in found] == names


def test_a_low_rate_is_enough_for_many_steps(healthy: dict[str, Any]) -> None:
    healthy["optimizer"]["lr"] = 3e-6
    healthy["training"]["steps"] = 80_000
    assert examine_rate(open_case(parsed(healthy), None)) == []
