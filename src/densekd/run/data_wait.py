"""Share of a step that goes by waiting for data, and what to change where it is large."""

from densekd.data.waiting import Waiting
from densekd.errors import see
from densekd.hardware import usable_cores
from densekd.memory import local_processes

# From this share on a training is said to wait; below, more processes would hardly be noticed.
LARGE = 0.2
# A share is judged after so many seconds of steps: the first images are read from a cold disk.
_JUDGED_AFTER = 30.0


class DataWait:
    """Shares of the time between records, and one sentence of advice where they stay large.

    Args:
        waiting: counts the seconds.
        workers: loading processes of this process.
        after: seconds of steps, those before the first record left out, that it is judged by.
    """

    def __init__(self, waiting: Waiting, workers: int, after: float = _JUDGED_AFTER) -> None:
        self.waiting = waiting
        self.workers = workers
        self.after = after
        self.counted = 0.0
        # Since the second record: seconds of steps, and those among them that were waited.
        self.records = 0
        self.total = (0.0, 0.0)
        self.is_said = False

    def restart(self) -> None:
        """Begin a new interval: what was waited until now belongs to no step."""
        self.counted = self.waiting.seconds

    def share(self, seconds: float) -> float:
        """Return the share of an interval that ends now, from 0 to 1.

        Args:
            seconds: of its steps.
        """
        waited = min(self.waiting.seconds - self.counted, seconds)
        self.restart()
        self.records += 1
        if self.records > 1:
            before, waited_before = self.total
            self.total = (before + seconds, waited_before + waited)
        return waited / seconds if seconds > 0 else 0.0

    def advice(self) -> str | None:
        """Return what to change, once, when enough was seen and the share is large; else None."""
        seconds, waited = self.total
        if self.is_said or not seconds or seconds < self.after or waited < LARGE * seconds:
            return None
        self.is_said = True
        return advise(waited / seconds, self.workers)


def advise(share: float, workers: int) -> str:
    """Say that a training waits for its data, and what makes loading faster.

    Args:
        share: of the time of a step.
        workers: loading processes of each process now.
    """
    cores = usable_cores() // local_processes()
    said = f"a step waits {share:.0%} of its time for data"
    others = "shards ('densekd data shard'), data.cache, or smaller images (data.short_side, data.resize)"
    # One core is the step's own.
    if workers < cores - 1:
        more = max(1, min(2 * workers, cores - 1)) if workers else max(1, (cores - 1) // 2)
        return f"{said}: write data.workers: {more} (now {workers}, {cores} cores here), or use {others}. {see('slow')}"
    return f"{said}, and there is no core left for more loading processes: use {others}. {see('slow')}"


def waits(loading: float, computing: float, workers: int) -> float:
    """Estimate the seconds of a step that wait for data.

    Args:
        loading: seconds that one process takes to load a batch.
        computing: seconds of a step without its data.
        workers: loading processes, each on a core of its own; 0: the step loads its data itself.
    """
    return max(0.0, loading / workers - computing) if workers else loading
