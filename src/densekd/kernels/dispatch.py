"""Kernel dispatch: run the fused implementation of a function, or the plain formula beside it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Literal, ParamSpec, TypeVar, get_args

import torch

from densekd.kernels.first_use import runs_formula

P = ParamSpec("P")
R = TypeVar("R")
Kernels = Literal["auto", "reference"]

# A plain global: torch.compile guards on it, and recompiles where a graph was traced under the other
# choice. It does not guard on context variables or thread-local ones.
_active: Kernels = "auto"


@contextmanager
def using(kernels: Kernels) -> Iterator[None]:
    """Choose within a ``with`` block what the functions of :func:`kernel` run.

    Losses and layers are plain modules that know of no recipe; what owns them enters this around
    each of its steps. Blocks nest, and the choice from before returns after an exception, too. It
    holds for all threads of a process.

    Args:
        kernels: ``auto``, the kernel wherever it applies, or ``reference``, the formula in plain
            operations.

    Raises:
        ValueError: another value.
    """
    global _active
    if kernels not in get_args(Kernels):
        raise ValueError(f"kernels: '{kernels}' is not one of {', '.join(get_args(Kernels))}")
    before = _active
    _active = kernels
    try:
        yield
    finally:
        _active = before


def kernel(reference: Callable[P, R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Decorate a fused function with ``reference``, which computes the same in plain operations.

    The reference runs within ``using("reference")``, and in ``torch.jit.trace``, whose sizes are
    tensors and whose graphs go to runtimes that know plain operations alone. It also runs on a
    device where the kernel did not agree with it at its first use.
    """

    def decorate(fused: Callable[P, R]) -> Callable[P, R]:
        @wraps(fused)
        def dispatched(*args: P.args, **kwargs: P.kwargs) -> R:
            tracing = torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
            if _active == "reference" or tracing:
                return reference(*args, **kwargs)
            # Within a compiled graph the operation itself asks: a file is read and a kernel tried.
            if not torch.compiler.is_compiling() and runs_formula(fused.__name__, args):
                return reference(*args, **kwargs)
            return fused(*args, **kwargs)

        return dispatched

    return decorate
