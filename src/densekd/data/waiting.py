"""Seconds that a training waits for its next batch, counted without waiting for the device."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch


class Waiting:
    """Clock that runs while a batch is awaited and the device has nothing to compute.

    A GPU computes while the host waits for the next batch. What it had been given is asked for and
    never waited for: where it is busy when the batch comes, nothing was lost; where it became idle
    meanwhile, half of the time counts, since nobody saw when.

    Args:
        is_idle: whether the device has done all that it was given; a processor has, always.
    """

    def __init__(self, is_idle: Callable[[], bool] = lambda: True) -> None:
        self.is_idle = is_idle
        self.seconds = 0.0

    def over(self, batches: Iterable[Any]) -> Iterator[Any]:
        """Yield batches, and count how long each is awaited; the first, for which processes start, is not counted."""
        source = iter(batches)
        first = True
        while True:
            was_idle, began = self.is_idle(), time.perf_counter()
            try:
                batch = next(source)
            except StopIteration:
                return
            if not first and self.is_idle():
                waited = time.perf_counter() - began
                self.seconds += waited if was_idle else waited / 2
            first = False
            yield batch


def waiting_of(device: torch.device) -> Waiting:
    """Return the clock of a training on devices of one kind."""
    if device.type != "cuda":
        return Waiting()
    # A stream answers at once whether its work is done. Each process asks the GPU that it has chosen by then.
    return Waiting(lambda: torch.cuda.current_stream().query())
