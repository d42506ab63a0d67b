"""Processes of a test, forked from one that has imported torch, Lightning and the command line once for all of them.

What is tested about a start itself, its imports or the process that started it, needs a Python of its own.
"""

import multiprocessing
import os
import runpy
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import torch.multiprocessing as mp

# Python's fork server, which computes nothing before it forks.
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(["densekd", "lightning", "densekd.cli.app", "densekd.run.train"])


def in_two_processes(function: Callable[..., None], *arguments: Any) -> None:
    """Call ``function(rank, *arguments)`` in two processes, and wait for both.

    Raises:
        ProcessRaisedException: it raised in one of them.
    """
    mp.start_processes(function, arguments, nprocs=2, start_method="forkserver")


def run_command(*words: object, cwd: Path) -> "CompletedProcess[str]":
    """Run ``python -m densekd WORDS`` in a folder, with the variables of this process."""
    return run_python("-m", "densekd", *words, cwd=cwd)


def run_python(*words: object, cwd: Path | None = None) -> "CompletedProcess[str]":
    """Run ``python -m MODULE WORDS`` or ``python -c CODE WORDS``, with the variables of this process."""
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("out", "err")]
        process = Forked(*words, cwd=cwd, out=streams[0], err=streams[1])
        code = process.wait()
        out, err = (stream.read_text(encoding="utf-8") for stream in streams)
    return CompletedProcess(process.command, code, out, err)


class Forked:
    """A process that runs ``python -m MODULE WORDS`` or ``python -c CODE WORDS``, with methods as ``Popen`` has them.

    Args:
        words: ``-m`` or ``-c`` and what follows.
        cwd: its folder; the one of this process where none is named.
        out: file that its standard output is added to; that of this process where none is named.
        err: likewise of its errors; may be the same one.
        group: whether it leads a group of its own.
    """

    def __init__(
        self,
        *words: object,
        cwd: Path | None = None,
        out: Path | None = None,
        err: Path | None = None,
        group: bool = False,
    ) -> None:
        self.command = list(map(str, words))
        streams = {number: str(path) for number, path in ((1, out), (2, err)) if path is not None}
        arguments = (self.command, str(cwd or Path.cwd()), dict(os.environ), streams, group)
        self._process = _SERVER.Process(target=_be_python, args=arguments)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """Return its exit status as ``Popen`` says it, or None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return its exit status, negative for a signal."""
        self._process.join(timeout)
        assert self._process.exitcode is not None, f"it has not ended in {timeout} s"
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self._process.kill()


def _be_python(
    command: list[str], cwd: str, environment: Mapping[str, str], streams: dict[int, str], group: bool
) -> None:
    """Be that command, in a process of the fork server."""
    if group:
        os.setsid()
    for number, stream in streams.items():
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    kind, what, *words = command
    sys.path.insert(0, cwd)
    sys.argv = [what, *words]
    if kind == "-c":
        sys.argv[0] = "-c"
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        runpy.run_module(what, run_name="__main__", alter_sys=True)
