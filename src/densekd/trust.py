"""Trust in code that files name: nothing of a package or run is imported unless a person named its module.

A recipe that is given to ``train``, ``check`` or ``data check`` is a person's own word, and so is a name
in a command or call. What a package's ``config.json``, a checkpoint or the recipe inside a finished run
names is not.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from densekd.errors import RecipeError, UserError

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?")
# What people named so far in this process, in a recipe of their own or on the command line.
_NAMED: set[str] = set()
_TRUSTED: ContextVar[frozenset[str]] = ContextVar("trusted", default=frozenset())
# The file whose names are looked up; empty while they are a person's own.
_FILE: ContextVar[str] = ContextVar("file", default="")


def trust_modules(names: Iterable[str] | None) -> None:
    """Trust modules for the rest of the process, as ``--trust`` does.

    Args:
        names: ``package.module``, with everything below it, or ``package.module:Name``.

    Raises:
        RecipeError: something else.
    """
    _NAMED.update(_checked(names or ()))


@contextmanager
def trusting(names: Iterable[str]) -> Iterator[None]:
    """Trust modules within a ``with`` block; see :func:`trust_modules`."""
    token = _TRUSTED.set(_TRUSTED.get() | _checked(names))
    try:
        yield
    finally:
        _TRUSTED.reset(token)


@contextmanager
def names_of_file(file: object) -> Iterator[None]:
    """Within the block, names of modules come from a file: they are imported only where they are trusted.

    Args:
        file: for the message.
    """
    token = _FILE.set(str(file))
    try:
        yield
    finally:
        _FILE.reset(token)


def require_trust(name: str) -> None:
    """Check that ``package.module:Name`` may be imported; a person's own word is remembered.

    Other names, of the tables, need no trust.

    Raises:
        UserError: a file names it, and nobody said that it is trusted.
    """
    file = _FILE.get()
    if ":" not in name:
        return
    if not file:
        _NAMED.add(name)
        return
    if not is_trusted(name):
        module = name.partition(":")[0]
        raise UserError(
            f"{file}: names '{name}', code that is not densekd's, and nothing of it was run. Where you know and trust "
            f"it, add --trust {module} (in Python trust=['{module}'])."
        )


def is_trusted(name: str) -> bool:
    """Tell whether a person named ``package.module:Name``, its module, or a package that the module is in."""
    trusted = _NAMED | _TRUSTED.get()
    module = name.partition(":")[0]
    parts = module.split(".")
    above = {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
    return name in trusted or not above.isdisjoint(trusted)


def forget() -> None:
    """Forget every name that was trusted in this process."""
    _NAMED.clear()


def _checked(names: Iterable[str]) -> frozenset[str]:
    """Return names of modules.

    Raises:
        RecipeError: something else.
    """
    if isinstance(names, str):
        raise RecipeError(f"trust: a list of modules, got the text '{names}'.")
    found = frozenset(map(str, names))
    for name in found:
        if not _NAME.fullmatch(name):
            raise RecipeError(f"--trust {name}: write a module, or package.module:Name.")
    return found
