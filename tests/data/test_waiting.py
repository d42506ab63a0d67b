"""Seconds that batches are awaited, where the device has nothing to do."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch

from densekd.data import waiting as module
from densekd.data.waiting import Waiting, waiting_of

STEPS = 4


class Clock:
    """A clock that stands still but for what is spent on it."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def batches(self) -> Iterator[int]:
        """Yield batches that take a second each, the first ten times."""
        for number in range(STEPS):
            self.now += 10 if number == 0 else 1
            yield number


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(module, "time", found)
    return found


@pytest.mark.parametrize(
    ("before", "after", "share"),
    [
        # A GPU that had done all, as a processor always has.
        (True, True, 1.0),
        # It became idle while the batch was awaited, at an unknown time.
        (False, True, 0.5),
        # Busy until the batch came: nothing was lost.
        (False, False, 0.0),
    ],
)
def test_what_is_waited_is_counted(before: bool, after: bool, share: float, clock: Clock) -> None:
    # The first batch is not asked about when it comes.
    answers = iter([before, *[before, after] * STEPS])
    waiting = Waiting(lambda: next(answers))
    assert list(waiting.over(clock.batches())) == list(range(STEPS))
    assert waiting.seconds == share * (STEPS - 1)


def test_a_processor_waits_always(clock: Clock) -> None:
    waiting = waiting_of(torch.device("cpu"))
    # The time of a step is not counted.
    for _ in waiting.over(clock.batches()):
        clock.now += 100
    assert waiting.seconds == STEPS - 1


def test_a_gpu_is_asked_and_not_waited_for(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SimpleNamespace(query=lambda: False)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: stream)
    waiting = waiting_of(torch.device("cuda", 0))
    assert list(waiting.over(clock.batches())) == list(range(STEPS))
    assert waiting.seconds == 0
