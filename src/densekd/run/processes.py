"""Several processes of one training: when all stop, and what happens when one of them ends."""

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
import torch.distributed as dist

from densekd.errors import UserError
from densekd.run.folder import is_first_process
from densekd.stopping import Interrupted, StopRequest

# What the backends of torch.distributed say where another process is gone.
_GONE = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|socket (closed|error)|remote (peer|process) exited"
    r"|ncclremoteerror|ncclsystemerror|recvvalue failed|failed to recv|store.*(closed|shut)",
    re.IGNORECASE,
)


class StopAgreement:
    """Whether any process of a training was asked to stop, agreed upon in all of them at the same step.

    The flags of a step are exchanged while the next one runs, by the processors: neither a process
    nor a GPU waits for it.

    Args:
        stop: what this process was asked.
    """

    def __init__(self, stop: StopRequest) -> None:
        self.stop = stop
        self.group: Any = None
        self.pending: tuple[Any, torch.Tensor] | None = None

    def begin(self) -> None:
        """Open a group of its own for the flags; one process alone needs none."""
        if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
            self.group = dist.new_group(backend="gloo")

    def after_step(self) -> int:
        """Return the signal that all processes obey after this step; 0: none."""
        if self.group is None:
            return self.stop.number
        # Send the flag of this step, read that of the step before: it has arrived by now.
        before = self.pending
        flag = torch.tensor([self.stop.number])
        self.pending = (dist.all_reduce(flag, dist.ReduceOp.MAX, group=self.group, async_op=True), flag)
        return _received(before)

    def now(self) -> int:
        """Return the signal that all processes obey now; they wait for each other."""
        if self.group is None:
            return self.stop.number
        before, self.pending = self.pending, None
        flag = torch.tensor([self.stop.number])
        dist.all_reduce(flag, dist.ReduceOp.MAX, group=self.group)
        return max(_received(before), int(flag))

    def obey(self) -> None:
        """Wait until the state is saved; from here on signals say nothing new."""
        self.stop.obeyed = True
        if self.group is not None:
            _received(self.pending)
            dist.barrier(self.group)


def _received(pending: tuple[Any, torch.Tensor] | None) -> int:
    """Return the flag of an exchange that was begun; 0 where none was."""
    if pending is None:
        return 0
    work, flag = pending
    work.wait()
    return int(flag)


def ignore_signals_of_lightning(trainer: L.Trainer) -> None:
    """Keep Lightning from asking all processes at each step whether one was terminated.

    It does so on the device, and waits for the answer; :class:`StopAgreement` does it without.
    """
    loop = trainer.fit_loop.epoch_loop
    if hasattr(loop, "_broadcast_sigterm_tensor"):
        loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


@contextmanager
def end_of_others(processes: int) -> Iterator[None]:
    """End this process when another one of its training is gone, with a message instead of a hang.

    Args:
        processes: of the training; nothing happens with one.

    Raises:
        UserError: another process has ended.
        Interrupted: all were asked to stop; the first process alone says so.
    """
    if processes == 1:
        yield
        return
    # A process that another one started must not outlive it.
    if not is_first_process():
        watch = threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True)
        watch.start()
    try:
        yield
    except Interrupted as stopped:
        if is_first_process():
            raise
        # Who started the processes judges them by their status: Lightning kills the first one when another fails.
        raise SystemExit(0 if _started_by_lightning() else stopped.code) from stopped
    except RuntimeError as error:
        if _GONE.search(str(error)) is None:
            raise
        raise UserError(
            "Another process of this training has ended; its own message, if it could write one, says why. "
            "Continue with --resume."
        ) from error


def _started_by_lightning() -> bool:
    """Return whether Lightning started this process; torchrun and SLURM number theirs otherwise."""
    return "RANK" not in os.environ and "SLURM_PROCID" not in os.environ


def _end_with_parent(parent: int) -> None:
    """Wait until the process that started this one is gone, and end."""
    while os.getppid() == parent:
        time.sleep(1)
    os.write(2, b"error: The process that started this one has ended; continue with --resume.\n")
    os._exit(1)
