"""An engine in a process of its own: whatever it does, even a crash, ends in an answer or an error."""

import os
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from densekd.errors import UserError
from densekd.export.engines.contract import SESSIONS, Runnable
from densekd.export.sessions.serve import read_message, write_message

# Seconds that an engine may take to load an artefact or to answer once.
_LIMIT = 600.0
# Characters of what an engine printed that a message repeats.
_SHOWN = 400


class EngineFailed(UserError):
    """An engine did not load an artefact, raised an error, crashed or hung; the message says which."""


@dataclass(frozen=True)
class Timing:
    """Latency of an artefact.

    Args:
        seconds: of each run.
        peak_bytes: the most memory that the engine's process held; 0 where the system does not say.
    """

    seconds: list[float]
    peak_bytes: int


class EngineProcess:
    """A context in which an artefact is loaded in its engine.

    Args:
        engine: whose artefact it is.
        folder: where it lies.
        threads: 0: the engine's own choice.
        limit: seconds that one answer may take.
    """

    def __init__(self, engine: Runnable, folder: Path, threads: int = 0, limit: float = _LIMIT) -> None:
        self._engine = engine
        self._folder = folder
        self._threads = threads
        self._limit = limit
        self._hung = False

    def __enter__(self) -> Self:
        """Start the process and load the artefact.

        Raises:
            EngineFailed: it cannot be loaded.
        """
        self._said = tempfile.TemporaryFile()
        command = [str(self._engine.python), str(SESSIONS / "serve.py"), str(self._engine.session)]
        environment = os.environ | {"PYTHONSAFEPATH": "1"}
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self._said}
        self._process = subprocess.Popen([*command, str(self._folder), str(self._threads)], env=environment, **pipes)
        try:
            self._receive("loading")
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        for pipe in (self._process.stdin, self._process.stdout):
            try:
                if pipe is not None:
                    pipe.close()
            except OSError:  # what was not sent to a process that is gone
                pass
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._said.close()

    def run(self, array: np.ndarray) -> list[np.ndarray]:
        """Run the artefact.

        Args:
            array: in the layout and type of its input.

        Raises:
            EngineFailed: an error, a crash, or no answer.
        """
        return self._ask({"do": "run"}, array)[1]

    def time(self, array: np.ndarray, runs: int, warmup: int = 3) -> Timing:
        """Measure the latency of the artefact, without the way through the pipes.

        Args:
            array: as of :meth:`run`.
            runs: that are measured.
            warmup: that come before them.

        Raises:
            EngineFailed: an error, a crash, or no answer.
        """
        header, _ = self._ask({"do": "time", "runs": runs, "warmup": warmup}, array)
        return Timing(header["seconds"], header["peak_bytes"])

    def _ask(self, header: dict[str, Any], array: np.ndarray) -> tuple[dict[str, Any], list[np.ndarray]]:
        assert self._process.stdin is not None
        try:
            write_message(self._process.stdin, header, [array])  # type: ignore[arg-type]
        except OSError as error:
            raise EngineFailed(self._why_gone("running")) from error
        answer, outputs = self._receive("running")
        if "error" in answer:
            raise EngineFailed(f"{self._engine.title} refuses to run it: {answer['error'][:_SHOWN]}")
        return answer, outputs

    def _receive(self, doing: str) -> tuple[dict[str, Any], list[np.ndarray]]:
        """Wait for an answer; a process that does not give one is ended."""
        assert self._process.stdout is not None
        watchdog = threading.Timer(self._limit, self._end_hanging)
        watchdog.start()
        try:
            return read_message(self._process.stdout)  # type: ignore[arg-type]
        except (EOFError, ValueError) as error:
            raise EngineFailed(self._why_gone(doing)) from error
        finally:
            watchdog.cancel()

    def _end_hanging(self) -> None:
        self._hung = True
        self._process.kill()

    def _why_gone(self, doing: str) -> str:
        """Say how a process ended, with the last line that it printed."""
        title = self._engine.title
        if self._hung:
            return f"{title} gave no answer within {self._limit:.0f} s while {doing} it."
        try:
            status = self._process.wait(10)
        except subprocess.TimeoutExpired:
            return f"{title} closed its pipe while {doing} it."
        self._said.seek(0)
        lines = self._said.read().decode("utf-8", "replace").strip().splitlines()
        last = f": {lines[-1][:_SHOWN]}" if lines else "."
        if status < 0:
            return f"{title} crashed ({_signal_name(-status)}) while {doing} it{last}"
        return f"{title} failed while {doing} it{last}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
