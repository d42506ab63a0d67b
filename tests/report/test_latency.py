"""What a report says of the latency on the machine that trained."""

from typing import Any

import pytest

from densekd.report.latency import read_latency, shown

FOUND: dict[str, Any] = {
    "size": [64, 96],
    "device": "cpu",
    "hardware": "EPYC",
    "threads": 1,
    "runs": 10,
    "milliseconds": {"teacher": 123.4, "baseline": 3.14, "student": 3.1},
}


def test_sentence() -> None:
    latency = read_latency(FOUND)
    assert latency is not None
    assert latency.sentence == (
        "On this machine (EPYC, 1 thread, PyTorch, median of 10) one picture of 64 x 96 takes the student 3.10 ms, "
        "the same student trained alone 3.14 ms and the teacher 123 ms."
    )


def test_threads_say_nothing_of_a_gpu() -> None:
    latency = read_latency(FOUND | {"device": "cuda", "hardware": "H200", "threads": 8})
    assert latency is not None
    assert latency.where == "H200, PyTorch, median of 10"


def test_runs_of_earlier_versions_have_none() -> None:
    assert read_latency(None) is None
    assert [shown(value) for value in (None, 0.123, 12.34, 123.4)] == ["\N{EN DASH}", "0.12", "12.3", "123"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": [64]}, "'latency.size' must be two whole numbers"),
        ({"threads": -1}, "'latency.threads' must be a whole number"),
        ({"milliseconds": [1]}, "'latency.milliseconds' must be an object"),
        ({"milliseconds": {"student": "fast"}}, "'latency.milliseconds.student' must be a number"),
        ({"milliseconds": {"student": float("nan")}}, "'latency.milliseconds.student' must be a number"),
    ],
)
def test_malformed(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_latency(FOUND | change)
