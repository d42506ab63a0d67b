"""Processes of a test, forked from one that has imported torch, Lightning and the command line once for all of them.

What is tested about a start itself, its imports or a signal that kills, needs a Python of its own.
"""

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import torch.multiprocessing as mp

from densekd.cli.app import main

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
    command = ["densekd", *map(str, words)]
    with tempfile.TemporaryDirectory() as folder:
        streams = [Path(folder) / name for name in ("out", "err")]
        process = _SERVER.Process(target=_command, args=(command, cwd, dict(os.environ), streams))
        process.start()
        process.join()
        out, err = (stream.read_text(encoding="utf-8") for stream in streams)
    assert process.exitcode is not None
    return CompletedProcess(command, process.exitcode, out, err)


def _command(command: list[str], cwd: Path, environment: dict[str, str], streams: list[Path]) -> None:
    """Be that command, in a process of the fork server."""
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    # What ``python -m`` does.
    sys.path.insert(0, str(cwd))
    sys.argv = command
    main()
