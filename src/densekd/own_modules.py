"""Import of the user's own modules from the current folder, for ``package.module:Name``.

The folder is on ``sys.path`` only while such a module is imported, and last, so that no file in it
stands in for a library. What it brought is remembered in the environment: a spawned worker process,
which unpickles the user's classes, finds these modules and no others.
"""

import importlib
import importlib.abc
import importlib.machinery
import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

_VARIABLE = "DENSEKD_OWN_MODULES"


def import_own(name: str) -> ModuleType:
    """Import a module that may lie in the current folder.

    Args:
        name: dotted name of an installed module or of one in the current folder; installed ones
            come first.
    """
    with _importable(Path.cwd()):
        return importlib.import_module(name)


def restore() -> None:
    """Find the modules that the parent process imported from its current folder."""
    if _VARIABLE in os.environ:
        _install(_Finder(json.loads(os.environ[_VARIABLE])))


def place_of(error: BaseException) -> str:
    """Return where the user's own code raised an error, `` (file, line 3)``; empty where it did not.

    Own is what densekd called and neither it nor an installed library contains.
    """
    ours = str(Path(__file__).parent)
    installed = (ours, sys.prefix, sys.base_prefix, str(Path(os.__file__).parent), "<frozen")
    called, place = False, ""
    for frame in traceback.extract_tb(error.__traceback__):
        called = called or frame.filename.startswith(ours)
        if called and not frame.filename.startswith(installed):
            place = f" ({frame.filename}, line {frame.lineno})"
    return place


class _Finder(importlib.abc.MetaPathFinder):
    """Module finder of some top-level modules.

    Args:
        folders: the folder of each module.
    """

    def __init__(self, folders: dict[str, str]) -> None:
        self.folders = folders

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        """Return the spec of a module that is known, or None."""
        if path is not None or fullname not in self.folders:
            return None
        return importlib.machinery.PathFinder.find_spec(fullname, [self.folders[fullname]])


def _install(finder: _Finder) -> None:
    sys.meta_path[:] = [other for other in sys.meta_path if not isinstance(other, _Finder)]
    sys.meta_path.append(finder)


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Put a folder at the end of ``sys.path`` for one import."""
    if str(folder) in sys.path or "" in sys.path:
        yield
        return
    before = set(sys.modules)
    # A file that was written a moment ago is not in the listing that Python keeps of a folder.
    importlib.invalidate_caches()
    sys.path.append(str(folder))
    try:
        yield
    finally:
        with suppress(ValueError):
            sys.path.remove(str(folder))
        _remember(folder, sys.modules.keys() - before)


def _remember(folder: Path, imported: Iterable[str]) -> None:
    """Note which of the imported modules lie in a folder, also for processes to come."""
    folders = json.loads(os.environ.get(_VARIABLE, "{}"))
    for name in imported:
        found = importlib.machinery.PathFinder.find_spec(name, [str(folder)])
        used = getattr(sys.modules[name], "__spec__", None)
        # One that a library has under the same name was imported from there.
        if found is not None and used is not None and found.origin == used.origin:
            folders[name] = str(folder)
    if folders:
        os.environ[_VARIABLE] = json.dumps(folders)
        _install(_Finder(folders))
