"""Work on a sweep's queue in one process: claim a trial, train it, note what became of it, take the next."""

import gc
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from densekd.errors import UserError, without_traceback
from densekd.explain import explain
from densekd.run.company import Company, Job, Member
from densekd.run.launch import Launch, sharing_memory
from densekd.run.train import queued_again, train
from densekd.stopping import Interrupted, Stopped, stop_at_once, stop_signals
from densekd.sweep.claims import Claim
from densekd.sweep.leaderboard import write_leaderboard
from densekd.sweep.queue import Entry, Queue
from densekd.terminal import Terminal

# Seconds between two looks at a queue whose trials are all in other hands; they grow to the last.
_FIRST_LOOK, _LAST_LOOK = 0.2, 10.0
_WIDTH = 120


@dataclass(frozen=True)
class Place:
    """Where a process trains.

    Args:
        launch: accelerator and devices.
        waits: whether it stays while others work, to go on with what they leave.
    """

    launch: Launch
    waits: bool = True


def work(queue: Queue, place: Place) -> int:
    """Train one trial after the other until none is left; return how many this process has finished.

    Raises:
        Interrupted: a signal stopped a training, whose state is saved.
        Stopped: a signal between two trainings, or before and after one.
    """
    with stop_signals(stop_at_once("Stopped; the same command goes on.")):
        try:
            finished = _work(queue, place)
        except (Stopped, Interrupted) as stop:
            # A job of a scheduler that was warned, where no training has queued it again.
            raise queued_again(stop) from None
    write_leaderboard(queue)
    return finished


def _work(queue: Queue, place: Place) -> int:
    """Work as :func:`work` does, while it listens to signals."""
    finished, pause = 0, _FIRST_LOOK
    while not queue.is_over():
        taken = queue.take()
        if taken is not None:
            entry, claim = taken
            others = queue.take_others(entry)
            if others:
                finished += train_together(queue, [taken, *others], place.launch)
            else:
                finished += train_trial(queue, entry, claim, place.launch)
            pause = _FIRST_LOOK
        elif place.waits:
            time.sleep(pause)
            pause = min(2 * pause, _LAST_LOOK)
        else:
            break
    return finished


def train_trial(queue: Queue, entry: Entry, claim: Claim, launch: Launch) -> bool:
    """Train a claimed trial from where it is, and give it back; return whether it was finished.

    What the user can mend is noted as the reason of its failure, and so is any other error.

    Raises:
        Interrupted: a signal stopped it.
        Stopped: as above.
    """
    name = entry.name
    try:
        with _output(queue.log(name)) as console:
            try:
                train(queue.recipe(name), queue.run(name), launch, "resume", console)
            except (Interrupted, Stopped):
                raise
            except Exception as error:
                console.print(traceback.format_exc())
                queue.fail(name, message_of(error))
    finally:
        claim.release()
        # A Trainer and its callbacks refer to each other.
        gc.collect()
    write_leaderboard(queue)
    return queue.is_done(name)


def train_together(queue: Queue, taken: Sequence[tuple[Entry, Claim]], launch: Launch) -> int:
    """Train claimed trials of one group, each as :func:`train_trial` does; return how many were finished.

    Raises:
        Interrupted: a signal stopped them, and what had begun is saved.
        Stopped: a signal, before any of them had begun.
    """
    company = Company(len(taken))
    jobs: list[Job] = []
    for entry, claim in taken:
        jobs.append(partial(_train_member, queue, entry, claim, launch))
    # What the first one tells its libraries of the memory holds until the last one is done.
    with sharing_memory(launch):
        outcomes = company.run(jobs)
    errors = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    # Who has saved a state has more to say than who had none.
    errors.sort(key=lambda error: isinstance(error, Stopped))
    others = [error for error in errors if not isinstance(error, Interrupted | Stopped)]
    for error in [*others, *errors]:
        raise error
    return sum(outcomes)


def _train_member(queue: Queue, entry: Entry, claim: Claim, launch: Launch, member: Member) -> bool:
    """Train one of a company, unless all were asked to stop before its first turn."""
    if member.stop.number:
        claim.release()
        raise Stopped("Stopped; the same command goes on.", member.stop.number)
    return train_trial(queue, entry, claim, launch)


def message_of(error: Exception) -> str:
    """Return what people should know of an error."""
    if isinstance(error, UserError):
        return str(error)
    return explain(error) or f"{type(error).__name__}: {without_traceback(str(error))}"


@contextmanager
def _output(path: Path) -> Iterator[Terminal]:
    """Write what a training says into a file, behind what was said before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
        yield Terminal(file=file, width=_WIDTH)
