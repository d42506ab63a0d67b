"""Which implementation runs: a kernel, or the literal formula beside it."""

from collections.abc import Callable
from functools import wraps
from typing import Literal, ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")
Kernels = Literal["auto", "reference"]

_chosen: Kernels = "auto"


def choose(kernels: Kernels) -> None:
    """Say for this process what the functions of :func:`kernel` do, from now on.

    The losses that call them are plain modules and know of no recipe; what a recipe says holds for everything that is
    built after it.

    Args:
        kernels: ``auto``, the kernel wherever it applies, or ``reference``, the formula in plain operations.
    """
    global _chosen
    _chosen = kernels


def kernel(reference: Callable[P, R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function run ``reference``, which computes the same, where that is chosen.

    So does ``torch.jit.trace``, whose sizes are tensors and whose graphs go to runtimes that know plain operations.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def chosen(*args: P.args, **kwargs: P.kwargs) -> R:
            tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
            plain = _chosen == "reference" or tracing
            return (reference if plain else function)(*args, **kwargs)

        return chosen

    return decorate
