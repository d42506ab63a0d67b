"""Kernel launches, and a record of them that nothing runs: what the table of registers compiles."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Launch:
    """One launch of a Triton function.

    Args:
        function: the compiled function, made by ``triton.jit``.
        grid: programs along each axis.
        arguments: what it is called with, by name, constants included.
        warps: warps of 32 threads that one program has.
    """

    function: Any
    grid: tuple[int, ...]
    arguments: dict[str, Any]
    warps: int


_record: list[Launch] | None = None


def launch(function: Any, grid: tuple[int, ...], *arguments: Any, warps: int, **constants: Any) -> None:
    """Run a Triton function, or write the launch down within :func:`recorded`."""
    if _record is None:
        function[grid](*arguments, **constants, num_warps=warps)
        return
    named = dict(zip(function.arg_names, arguments, strict=False)) | constants
    _record.append(Launch(function, grid, named, warps))


@contextmanager
def recorded() -> Iterator[list[Launch]]:
    """Collect the launches within a ``with`` block instead of running them.

    What a launcher computes from a kernel's results is then meaningless; on tensors of the device
    ``meta`` nothing is allocated either.
    """
    global _record
    before, _record = _record, []
    try:
        yield _record
    finally:
        _record = before
