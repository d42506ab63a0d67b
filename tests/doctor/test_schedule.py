"""Schedules that end before anything is learnt."""

from typing import Any

import pytest
from training_runs import parsed

from densekd.doctor.case import open_case
from densekd.doctor.schedule import examine_schedule


@pytest.mark.parametrize(
    ("steps", "warmup", "names"),
    [
        (80, 10, []),
        (80, 60, ["warmup-too-long"]),
        (29, 0, ["schedule-too-short"]),
        (30, 0, []),
    ],
)
def test_steps_and_warmup(healthy: dict[str, Any], steps: int, warmup: int, names: list[str]) -> None:
    healthy["training"]["steps"] = steps
    healthy["optimizer"]["warmup"] = warmup
    found = examine_schedule(open_case(parsed(healthy), None))
    assert [finding.name for finding in found] == names
    if names == ["schedule-too-short"]:
        # 29 steps of 4 images are 116 of 24.
        assert found[0].numbers["passes"] == pytest.approx(116 / 24)
