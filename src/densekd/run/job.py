"""The job of a scheduler, or the group of torchrun, that this process belongs to."""

import os


def job() -> str:
    """Name the job that this process belongs to, the same after a restart; empty outside of any."""
    if "SLURM_JOB_ID" in os.environ:
        return f"slurm {slurm_job()}"
    run = os.environ.get("TORCHELASTIC_RUN_ID", "")
    # A group of processes without a name of its own is known by the process that restarts it.
    return f"torchrun {run if run not in ('', 'none') else os.getppid()}" if run else ""


def slurm_job() -> str:
    """Return the number of a job, or of one of an array, as ``scontrol`` takes it."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    if array is not None:
        return f"{array}_{os.environ.get('SLURM_ARRAY_TASK_ID', '0')}"
    return os.environ.get("SLURM_JOB_ID", "")
