"""Processes of a distributed test, forked from one that has imported torch and Lightning once for all of them."""

import multiprocessing
from collections.abc import Callable
from typing import Any

import torch.multiprocessing as mp

# Python's fork server, which runs nothing before it forks.
multiprocessing.set_forkserver_preload(["lightning", "densekd.run.train"])


def in_two_processes(function: Callable[..., None], *arguments: Any) -> None:
    """Call ``function(rank, *arguments)`` in two processes, and wait for both.

    Raises:
        ProcessRaisedException: it raised in one of them.
    """
    mp.start_processes(function, arguments, nprocs=2, start_method="forkserver")
