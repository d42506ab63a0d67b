"""A sweep by jobs of Slurm, through submitit: each job is a process that works on the queue."""

import importlib
from typing import Any

from densekd.errors import UserError
from densekd.sweep.here import Processes
from densekd.sweep.queue import Queue
from densekd.sweep.sections import SlurmSpec
from densekd.sweep.worker import run_worker


def submit(queue: Queue, spec: SlurmSpec, settings: Processes, cluster: str | None = None) -> list[str]:
    """Submit the processes of a sweep as jobs, and leave them to the scheduler.

    A job that is warned before its end saves its state and is queued again; see docs/stopping.md.

    Args:
        queue: the trials, in a folder that every machine of the cluster sees.
        spec: what each job asks for.
        settings: how many jobs, and how each trains.
        cluster: ``local`` or ``debug`` of submitit, for a machine without Slurm; None: Slurm.

    Returns:
        The numbers of the jobs.

    Raises:
        UserError: submitit or Slurm is not there, or refuses what was asked for.
    """
    return [str(job.job_id) for job in submit_jobs(queue, spec, settings, cluster or "slurm")]


def submit_jobs(queue: Queue, spec: SlurmSpec, settings: Processes, cluster: str) -> list[Any]:
    """Submit jobs as :func:`submit` does; return submitit's jobs."""
    try:
        submitit = importlib.import_module("submitit")
    except ImportError as error:
        raise UserError("--on slurm needs submitit: pip install 'densekd[slurm]'.") from error
    path = queue.path.resolve()
    words = (path, settings.accelerator, settings.devices, settings.trust)
    try:
        executor = submitit.AutoExecutor(folder=path / "slurm", cluster=cluster)
        executor.update_parameters(**_parameters(spec, queue.path.name))
        return [executor.submit(run_worker, *words) for _ in range(settings.jobs)]
    except (RuntimeError, ValueError, TypeError, NameError, OSError) as error:
        raise UserError(f"--on slurm: the jobs cannot be submitted: {error}") from error


def _parameters(spec: SlurmSpec, name: str) -> dict[str, Any]:
    """Return what submitit is told, in its words."""
    parameters: dict[str, Any] = {
        "name": f"densekd-{name}",
        "timeout_min": spec.minutes,
        "gpus_per_node": spec.gpus,
        "cpus_per_task": spec.cpus,
        "slurm_additional_parameters": dict(spec.more),
    }
    if spec.gigabytes is not None:
        parameters["mem_gb"] = spec.gigabytes
    if spec.partition is not None:
        parameters["slurm_partition"] = spec.partition
    return parameters
