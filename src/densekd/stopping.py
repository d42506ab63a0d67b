"""Stop signals: Ctrl-C, termination, hang-up; noted for a safe point, or obeyed at once."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from densekd.errors import UserError

# Those of this system: Windows knows no hang-up, and others no break key.
_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
# How Slurm warns a job before its time is over, where --signal asks for it.
_WARNINGS = ("SIGUSR1", "SIGUSR2")
# A loading process that is told to end may still be read from by a training that saves its state.
_GRACE = 10


class Interrupted(UserError):
    """A training was asked to stop and saved its state; ``code`` is 128 + the signal's number."""

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.code = 128 + number


class Stopped(BaseException):
    """A command was asked to stop where there is no state to save; ``code`` as of a shell.

    No ``except Exception`` of a library swallows it, and none that treats Ctrl-C in its own way.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.code = 128 + number


class Ended(SystemExit):
    """This process is done, and another one of its training says how it ended."""


class StopRequest:
    """The signal that asked to stop, kept until a safe point.

    Attributes:
        number: of the signal; 0 while nobody asked.
        obeyed: everything is saved; signals that hurry up say nothing new.
        listen: takes the signals back from a library that has replaced the handlers.
    """

    def __init__(self) -> None:
        self.number = 0
        self.obeyed = False
        self.listen = _nothing

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note stop signals, for a while."""
        with stop_signals(self.note) as self.listen:
            yield
        self.listen = _nothing

    def note(self, number: int) -> None:
        """Keep the first signal; who asks twice does not want to wait for a safe point."""
        if self.obeyed:
            return
        if self.number:
            _end_at_once(number)
        self.number = number


@contextmanager
def stop_signals(answer: Callable[[int], None]) -> Iterator[Callable[[], None]]:
    """Call ``answer`` with the number of every stop signal, for a while.

    Python lets the main thread alone handle signals: in any other one nothing changes, and the thread
    is stopped by its owner.

    Args:
        answer: what a signal does: :meth:`StopRequest.note`, or :func:`stop_at_once`.

    Yields:
        A function that takes the signals back from a library that has replaced the handlers.
    """
    if threading.current_thread() is not threading.main_thread():
        yield _nothing
        return
    owner = os.getpid()

    def handle(number: int, frame: Any) -> None:
        # Loading processes are forked with this handler, and end with their owner.
        if os.getpid() == owner:
            answer(number)
        elif number == signal.SIGTERM and hasattr(signal, "alarm"):
            signal.alarm(_GRACE)

    # A hang-up that is ignored already was made harmless on purpose, by nohup.
    numbers = [number for number in known_signals() if not _is_ignored_hangup(number)]
    before = {number: signal.getsignal(number) for number in numbers}

    def listen() -> None:
        for number in numbers:
            signal.signal(number, handle)

    listen()
    try:
        yield listen
    finally:
        for number, handler in before.items():
            # None: a handler that was not set by Python, which cannot be set again.
            if handler is not None:
                signal.signal(number, handler)


def stop_at_once(message: str) -> Callable[[int], NoReturn]:
    """Return an answer to signals that raises :class:`Stopped`."""

    def stop(number: int) -> NoReturn:
        raise Stopped(message, number)

    return stop


def known_signals() -> list[signal.Signals]:
    """Return the signals of this system that ask a program to stop; in a job of Slurm also its warnings."""
    names = (*_NAMES, *_WARNINGS) if "SLURM_JOB_ID" in os.environ else _NAMES
    return [getattr(signal, name) for name in names if hasattr(signal, name)]


def is_warning(number: int) -> bool:
    """Return whether a signal is how Slurm warns this job before its time is over."""
    warnings = [getattr(signal, name, None) for name in _WARNINGS]
    return "SLURM_JOB_ID" in os.environ and number in warnings


def _is_ignored_hangup(number: signal.Signals) -> bool:
    return number.name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN


def end_with(message: str, code: int) -> NoReturn:
    """End the process without another step, with a message where anybody still listens.

    Args:
        message: one sentence.
        code: exit status.
    """
    # A progress bar hides the cursor.
    cursor = "\x1b[?25h\n" if sys.stderr is not None and sys.stderr.isatty() else ""
    # Where who read it is gone, this process must not stay because of that.
    with suppress(OSError):
        os.write(2, f"{cursor}error: {message}\n".encode())
    os._exit(code)


def _end_at_once(number: int) -> NoReturn:
    """End the process; files are written atomically, so none is left torn."""
    end_with("Stopped at once, by a second signal; the last checkpoint is kept.", 128 + number)


def _nothing() -> None:
    """There are no handlers to take back."""
