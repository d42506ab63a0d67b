"""A sweep on this machine: processes that work on its queue, their progress, and signals for all of them."""

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from densekd.errors import UserError
from densekd.stopping import Interrupted, StopRequest
from densekd.sweep.progress import Progress
from densekd.sweep.queue import Queue

_LOOK = 0.5
# A process that dies without a word, of a trial that it dies of again, has failed it.
_MOST_DEATHS = 2


@dataclass(frozen=True)
class Processes:
    """How many processes work, and as what.

    Args:
        jobs: number of processes.
        threads: of torch in each.
        accelerator: of each training.
        devices: of each training.
        trust: modules that packages may name.
    """

    jobs: int = 1
    threads: int = 1
    accelerator: str = "auto"
    devices: str = "1"
    trust: tuple[str, ...] = ()


@dataclass
class _Worker:
    """A process that works, and where it writes."""

    process: subprocess.Popen[bytes]
    log: Path


@dataclass
class _Crew:
    """The processes of a sweep on this machine."""

    queue: Queue
    settings: Processes
    workers: dict[int, _Worker] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)

    def start(self, number: int) -> None:
        """Start process ``number``; with several GPUs each process gets one of them."""
        settings = self.settings
        log = self.queue.path / "logs" / f"process-{number}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        words = [str(self.queue.path), settings.accelerator, settings.devices, str(os.getpid()), *settings.trust]
        command = [sys.executable, "-m", "densekd.sweep.worker", *words]
        environment = {**os.environ, **_threads(settings.threads), **_gpu(number, settings)}
        with log.open("ab") as file:
            # Ctrl-C of a terminal reaches all of its group: in one of their own they hear of it once.
            process = subprocess.Popen(command, stdout=file, stderr=file, env=environment, start_new_session=True)
        self.workers[number] = _Worker(process, log)

    def signal(self, number: int) -> None:
        """Send a signal to every process."""
        for worker in self.workers.values():
            if worker.process.poll() is None:
                worker.process.send_signal(number)

    def tend(self, stopping: bool) -> None:
        """Look after processes that have ended: those that died are followed by others.

        Raises:
            UserError: a process cannot begin.
        """
        for number, worker in list(self.workers.items()):
            code = worker.process.poll()
            if code is None:
                continue
            del self.workers[number]
            if code == 0 or stopping:
                continue
            names = self._left_by(worker.process.pid)
            if not names and 0 < code < 128:
                raise UserError(f"A process of the sweep cannot go on (status {code}); {worker.log} says why.")
            # Of several together none is to blame yet: it may be the memory that all of them took.
            if len(names) > 1:
                self.queue.part(names)
            elif names:
                self._count_death(names[0], code)
            self.start(number)

    def _count_death(self, name: str, code: int) -> None:
        self.deaths[name] += 1
        if self.deaths[name] < _MOST_DEATHS:
            return
        how = f"signal {-code}" if code < 0 else f"status {code}"
        self.queue.fail(
            name,
            f"its process ended without a word ({how}), {_MOST_DEATHS} times; signal 9 is often memory that ran out. "
            "Its last checkpoint is kept.",
        )

    def _left_by(self, process: int) -> list[str]:
        """Return the trials that a process had when it died."""
        names = [entry.name for entry in self.queue.entries]
        return [name for name in names if self.queue.claims.left_by(name, process)]


def run_here(queue: Queue, settings: Processes, progress: Progress) -> None:
    """Train what is left of a sweep by processes of this machine.

    Args:
        queue: the trials.
        settings: the processes.
        progress: shows what goes on.

    Raises:
        Interrupted: a signal; all processes have saved their state.
        UserError: a process cannot begin.
    """
    crew, stop = _Crew(queue, settings), StopRequest()
    open_trials = sum(queue.state(entry.name) not in ("done", "failed") for entry in queue.entries)
    with stop.listening(), _ended(crew), progress.shown():
        for number in range(min(settings.jobs, open_trials)):
            crew.start(number)
        told = 0
        while crew.workers:
            if stop.number and not told:
                told = stop.number
                crew.signal(told)
            crew.tend(stopping=bool(told))
            progress.update()
            time.sleep(_LOOK)
    if stop.number:
        raise Interrupted("Stopped; all processes have saved their state. The same command goes on.", stop.number)


@contextmanager
def _ended(crew: _Crew) -> Iterator[None]:
    """End the processes when this one cannot go on."""
    try:
        yield
    except BaseException:
        crew.signal(15)
        raise


def _threads(count: int) -> dict[str, str]:
    """Return the environment in which libraries compute by so many threads."""
    return dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(count))


def _gpu(number: int, settings: Processes) -> dict[str, str]:
    """Return the environment in which a process sees one GPU of several."""
    if settings.jobs == 1 or settings.accelerator == "cpu" or settings.devices != "1":
        return {}
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = chosen.split(",") if chosen else _found_gpus()
    return {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}


def _found_gpus() -> list[str]:
    # Torch takes seconds to import, which a machine without a GPU need not wait for.
    if shutil.which("nvidia-smi") is None:
        return []
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]
