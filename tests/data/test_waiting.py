"""Seconds that batches are awaited, where the device has nothing to do."""

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from densekd.data.waiting import Waiting, waiting_of

STEPS = 4


def batches(seconds: float) -> Iterator[int]:
    """Yield batches that take so long, the first ten times."""
    for number in range(STEPS):
        time.sleep(10 * seconds if number == 0 else seconds)
        yield number


@pytest.mark.parametrize(
    ("idle", "share"),
    [
        # A processor computes nothing meanwhile, and a GPU that has done all.
        ([True, True], 1.0),
        # It became idle while the batch was awaited, at an unknown time.
        ([False, True], 0.5),
        # Busy until the batch came: nothing was lost.
        ([False, False], 0.0),
    ],
)
def test_what_is_waited_is_counted(idle: list[bool], share: float) -> None:
    answers = iter(idle * (STEPS + 1))
    waiting = Waiting(lambda: next(answers))
    if share == 1:
        waiting = waiting_of(torch.device("cpu"))
    # The first batch asks once, whatever the answer is.
    elif not idle[0]:
        answers = iter([False, *idle * STEPS])
    assert list(waiting.over(batches(0.01))) == list(range(STEPS))
    least = 0.01 * (STEPS - 1) * share
    assert least <= waiting.seconds <= 5 * least


def test_a_gpu_is_asked_and_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SimpleNamespace(query=lambda: False)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    waiting = waiting_of(torch.device("cuda", 0))
    assert list(waiting.over(batches(0.001))) == list(range(STEPS))
    assert waiting.seconds == 0


def test_the_time_of_a_step_is_not_counted() -> None:
    waiting = Waiting()
    for _ in waiting.over(range(STEPS)):
        time.sleep(0.01)
    assert waiting.seconds < 0.005
