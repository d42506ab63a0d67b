"""Several processes of one training: when all stop, and what happens when one of them ends."""

import os
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import lightning.pytorch.strategies.launchers.subprocess_script as launching
import torch
import torch.distributed as dist

from densekd.errors import UserError
from densekd.run.folder import is_first_process
from densekd.stopping import Ended, Interrupted, StopRequest, end_with

# What the backends of torch.distributed say where another process is gone.
_GONE = re.compile(
    r"connection (was )?(closed|reset|refused)|broken pipe|socket (closed|error)|remote (peer|process) exited"
    r"|ncclremoteerror|ncclsystemerror|recvvalue failed|failed to recv|store.*(closed|shut)",
    re.IGNORECASE,
)
# Seconds until a process is ended that waits for one that is gone, and those that a failed one has to speak.
_PATIENCE = 8
_MOMENT = 3
# The process that started the others, for them to know.
_FIRST = "DENSEKD_FIRST_PROCESS"


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
    """Keep Lightning from asking all processes at each step whether one was terminated, and from passing signals on.

    It asks on the device, and waits for the answer; :class:`StopAgreement` does it without. What it passes
    on is a second signal for a process that had one already, which ends at once and leaves the others waiting.
    """
    connector: Any = getattr(trainer, "_signal_connector", None)
    if hasattr(connector, "register_signal_handlers"):
        connector.register_signal_handlers = lambda: None
    loop = trainer.fit_loop.epoch_loop
    if hasattr(loop, "_broadcast_sigterm_tensor"):
        loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


@contextmanager
def end_of_others(trainer: L.Trainer) -> Iterator[None]:
    """End this process when another one of its training is gone, with a message instead of a hang.

    Args:
        trainer: whose launcher may start the other processes; nothing happens with one process.

    Raises:
        UserError: another process has ended.
        Interrupted: all were asked to stop; the first process alone says so.
    """
    if trainer.world_size == 1:
        yield
        return
    with _watched(trainer) as started:
        try:
            yield
        except Interrupted as stopped:
            if is_first_process():
                raise
            # Who started the processes judges them by their status: Lightning kills the first one when another fails.
            raise Ended(0 if _started_by_lightning() else stopped.code) from stopped
        except BaseException as error:
            # Those that this process started wait for it, or fail because of it and have nothing of their own to say.
            _end_all(started())
            if not isinstance(error, RuntimeError) or _GONE.search(str(error)) is None:
                raise
            # The first process says it, unless it is the one that is gone.
            if not is_first_process() and _started_by_lightning():
                time.sleep(_PATIENCE)
            raise UserError(
                "Another process of this training has ended; its own message, if it could write one, says why. "
                "Continue with --resume."
            ) from error


@contextmanager
def _watched(trainer: L.Trainer) -> Iterator[Callable[[], list[Any]]]:
    """Watch the processes that Lightning starts, or the one that started this; Lightning's own watch says nothing.

    Yields:
        A function that lists the processes that this one has started by now.
    """

    def started() -> list[Any]:
        # The launcher makes its list anew when it starts them.
        return getattr(trainer.strategy.launcher, "procs", [])

    if not is_first_process():
        # A process that another one started must not outlive it, even where that ended before this line.
        parent = int(os.environ.get(_FIRST, os.getppid())) if _started_by_lightning() else os.getppid()
        threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()
        yield started
        return
    os.environ[_FIRST] = str(os.getpid())
    over = threading.Event()
    launcher_module: Any = launching
    original = getattr(launcher_module, "_launch_process_observer", None)
    if original is not None:
        launcher_module._launch_process_observer = _silent
    threading.Thread(target=_end_with_children, args=(started, over), daemon=True).start()
    try:
        yield started
    finally:
        over.set()
        os.environ.pop(_FIRST, None)
        if original is not None:
            launcher_module._launch_process_observer = original


def _silent(children: Any) -> None:
    """Start no watch."""


def _end_all(children: Iterable[Any]) -> None:
    """Give processes a moment to say what ails them, and end them."""
    last = time.monotonic() + _MOMENT
    for child in children:
        while child.poll() is None and time.monotonic() < last:
            time.sleep(0.05)
        if child.poll() is None:
            child.kill()


def _end_with_children(started: Callable[[], list[Any]], over: threading.Event) -> None:
    """Wait until a process that this one started has failed, and end all, wherever this one waits."""
    while not over.wait(0.5):
        failed = [child for child in started() if child.poll() not in (None, 0)]
        # What waits for the failed one mostly notices by itself, and says so.
        if not failed or over.wait(_PATIENCE):
            continue
        for child in started():
            if child.poll() is None:
                child.kill()
        code = failed[0].returncode
        how = f"signal {-code}" if code < 0 else f"status {code}"
        end_with(f"Another process of this training has ended ({how}); continue with --resume.", 1)


def _started_by_lightning() -> bool:
    """Return whether Lightning started this process; torchrun and SLURM number theirs otherwise."""
    return "RANK" not in os.environ and "SLURM_PROCID" not in os.environ


def _end_with_parent(parent: int) -> None:
    """Wait until the process that started this one is gone, and end."""
    while os.getppid() == parent:
        time.sleep(1)
    end_with("The process that started this one has ended; continue with --resume.", 1)
