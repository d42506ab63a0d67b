"""Schedulers: a job that is warned before its end is queued again, a restarted one goes on."""

import os
import subprocess
from pathlib import Path

from densekd.parsers import load_json
from densekd.run.folder import Existing, RunFolder, is_first_process
from densekd.run.job import job, slurm_job
from densekd.stopping import Interrupted, Stopped, is_warning

# Seconds that the scheduler may take to answer.
_PATIENCE = 30


def existing_of(run: RunFolder, existing: Existing) -> Existing:
    """Return what happens to a run folder: a restarted job goes on with what it began itself.

    Args:
        run: the folder.
        existing: what the command says, which is the same after a restart.
    """
    counts = (os.environ.get(name, "0") for name in ("SLURM_RESTART_COUNT", "TORCHELASTIC_RESTART_COUNT"))
    if not any(count.isdecimal() and int(count) > 0 for count in counts):
        return existing
    return "resume" if _began(run.environment) == job() else existing


def queue_again(stop: Stopped | Interrupted) -> str:
    """Queue the job again if its scheduler warned it before its end; say what became of that.

    The signal is the scheduler's ``--signal=USR1@SECONDS``. A terminated job is left alone: Slurm
    itself queues a preempted one again, and a cancelled one shall end.

    Args:
        stop: how the training was stopped.

    Returns:
        A sentence to add to the message; empty where nothing was asked for.
    """
    if not is_warning(stop.code - 128) or not is_first_process():
        return ""
    name = slurm_job()
    command = ["scontrol", "requeue", name]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_PATIENCE)
    except (OSError, subprocess.SubprocessError) as error:
        return f"The job could not be queued again ({error}); do it with: {' '.join(command)}"
    if done.returncode:
        reason = " ".join(done.stderr.split()) or f"status {done.returncode}"
        return f"The job could not be queued again ({reason}); do it with: {' '.join(command)}"
    return f"Job {name} is queued again and goes on from there."


def _began(environment: Path) -> str | None:
    """Return the job that began a run; None where that is not known."""
    try:
        found = load_json(environment).get("job")
    except (OSError, ValueError, AttributeError):
        return None
    return found or None
