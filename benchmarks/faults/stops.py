"""Kills and signals at random moments: a resumed training must be the one that was never stopped."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

from faults.outcome import Outcome, raw_text
from faults.tiny import Finished, Training, ended, make_training, same_result

STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# A stopped training saves its state, and all its processes end, within this time in seconds.
GRACE = 60


def stop_trials(folder: Path, kind: str, processes: int, tries: int, seed: int) -> Iterator[Outcome]:
    """Stop trainings of one kind by SIGKILL and by signals, resume each, compare with the whole one.

    Args:
        folder: a new one for this kind.
        kind: a key of ``faults.tiny.KINDS``.
        processes: how many train together.
        tries: how many trainings are stopped.
        seed: of moments and signals.
    """
    draw = random.Random(f"{seed} {kind} {processes}")
    training = make_training(folder, kind, processes)
    whole = folder / "whole"
    reference = training.run(whole)
    if reference.status != 0:
        yield Outcome(f"{kind}, {processes} processes, whole", "raw", reference.text[-2000:])
        return
    for index in range(tries):
        run = folder / f"run{index}"
        yield _stopped_once(training, whole, run, draw, reference.seconds, kind)


def _stopped_once(
    training: Training, whole: Path, run: Path, draw: random.Random, seconds: float, kind: str
) -> Outcome:
    """Start a training, stop it at a random moment, resume it and judge what came of it."""
    number = draw.choice([signal.SIGKILL, *STOPS])
    to_group = draw.random() < 0.5
    # Most moments are those of the training itself, some those of the start.
    after_start = draw.random() < 0.9
    process = training.start(run)
    while after_start and not (run / "metrics.csv").exists() and process.poll() is None:
        time.sleep(0.01)
    time.sleep(draw.uniform(0, 0.7 * seconds))
    _send(process.pid, number, to_group)
    stopped = ended(process, GRACE)
    trial = f"{kind}, {training.processes} processes, {number.name} to {'all' if to_group else 'one'}"
    failure = _failure(stopped, number)
    if failure is not None:
        return Outcome(trial, failure, stopped.text[-2000:])
    # What a dead main process leaves must end by itself before the folder is free again.
    resumed = training.run(run, "--resume")
    if resumed.hung or resumed.status != 0:
        return Outcome(trial, "lost", resumed.text[-2000:])
    exact = same_result(whole, run)
    return Outcome(trial, "exact" if exact else "silent", "" if exact else str(run))


def _send(process: int, number: signal.Signals, to_group: bool) -> None:
    """Send a signal to a process or to its whole group; one that has ended needs none."""
    try:
        if to_group:
            os.killpg(process, number)
        else:
            os.kill(process, number)
    except ProcessLookupError:
        pass


def _failure(stopped: Finished, number: signal.Signals) -> str | None:
    """Return what is wrong with how a stopped training ended; None for nothing."""
    if stopped.hung:
        return "hang"
    if number is not signal.SIGKILL and raw_text(stopped.text):
        return "raw"
    # 0: it had finished before; -n: the signal came before there was anything to save.
    allowed = {0, 128 + number, -number}
    return None if stopped.status in allowed else "wrong status"
