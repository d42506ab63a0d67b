"""A sweep by tasks of a Ray cluster: each task is a process that works on the queue."""

import importlib
import os
import socket
from typing import Any

from densekd.errors import UserError
from densekd.stopping import Interrupted, StopRequest
from densekd.sweep.here import Processes
from densekd.sweep.progress import Progress
from densekd.sweep.queue import Queue
from densekd.sweep.sections import RaySpec
from densekd.sweep.worker import run_worker

_LOOK = 0.5
# Seconds that a cluster may take to answer.
_PATIENCE = 10


def run_on_ray(queue: Queue, spec: RaySpec, settings: Processes, progress: Progress) -> None:
    """Train what is left of a sweep by tasks of a cluster that ``ray start`` has started.

    Args:
        queue: the trials, in a folder that every machine of the cluster sees.
        spec: what each task takes of the cluster.
        settings: how many tasks, and how each trains.
        progress: shows what goes on.

    Raises:
        UserError: Ray or a cluster is not there, or a task cannot go on.
        Interrupted: a signal; all tasks have saved their state.
    """
    ray = _connected()
    task = ray.remote(num_cpus=spec.cpus, num_gpus=spec.gpus)(run_worker)
    words = (queue.path.resolve(), settings.accelerator, settings.devices, settings.trust)
    stop, told = StopRequest(), False
    with stop.listening(), progress.shown():
        waiting: list[Any] = [task.remote(*words) for _ in range(settings.jobs)]
        while waiting:
            # A task that is cancelled gets the signal of Ctrl-C, and saves its state.
            if stop.number and not told:
                told = True
                for one in waiting:
                    ray.cancel(one, force=False)
            ended, waiting = ray.wait(waiting, timeout=_LOOK)
            for one in ended:
                _result(ray, one, told)
            progress.update()
    if stop.number:
        raise Interrupted("Stopped; all tasks have saved their state. The same command goes on.", stop.number)


def _connected() -> Any:
    """Return Ray, connected to the cluster that ``RAY_ADDRESS`` names or that runs on this machine.

    Raises:
        UserError: it is not installed, or there is no cluster.
    """
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise UserError("--on ray needs Ray: pip install 'densekd[ray]'.") from error
    if ray.is_initialized():
        return ray
    address = os.environ.get("RAY_ADDRESS", "auto")
    try:
        # Ray itself tries for minutes.
        _require_answer(address)
        ray.init(address=address, log_to_driver=False, logging_level="error")
    except (OSError, RuntimeError, ValueError) as error:
        raise UserError(f"--on ray: no cluster at '{address}' ({error}). Start one: ray start --head.") from error
    return ray


def _require_answer(address: str) -> None:
    """Check that somebody answers at ``host:port`` or ``ray://host:port``; other addresses are Ray's to look up.

    Raises:
        OSError: nobody does.
        ValueError: the port is no number.
    """
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if host:
        socket.create_connection((host, int(port)), timeout=_PATIENCE).close()


def _result(ray: Any, task: Any, stopping: bool) -> None:
    """Read how a task ended; one that was asked to stop says nothing new.

    Raises:
        UserError: it cannot go on.
    """
    try:
        ray.get(task)
    except Exception as error:
        if not stopping:
            raise UserError(f"A task of the sweep cannot go on: {error}") from error
