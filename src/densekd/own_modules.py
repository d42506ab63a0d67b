"""Import of the user's own modules from the current folder, for ``package.module:Name``.

The folder is never on ``sys.path``: a finder answers for the module that was named, and for what a file
of that folder imports itself. No file in the folder stands in for a library, and none is taken for an
optional library that is not installed. What was imported is remembered in the environment: a spawned
worker process, which unpickles the user's classes, finds these modules and no others.
"""

import importlib
import importlib.abc
import importlib.machinery
import json
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

_VARIABLE = "DENSEKD_OWN_MODULES"
# What importlib.import_module is in; the rest of the import system is frozen.
_IMPORTLIB = os.path.join("importlib", "__init__.py")  # noqa: PTH118


def import_own(name: str) -> ModuleType:
    """Import a module that may lie in the current folder.

    Args:
        name: dotted name of an installed module or of one in the current folder; installed ones
            come first.
    """
    top = name.partition(".")[0]
    if top and top not in sys.modules:
        with suppress(FileNotFoundError):
            _finder().expect(top, str(Path.cwd()))
    # A file that was written a moment ago is not in the listing that Python keeps of a folder.
    importlib.invalidate_caches()
    return importlib.import_module(name)


def restore() -> None:
    """Find the modules that the parent process imported from its current folder."""
    if _VARIABLE in os.environ:
        _finder().found.update(json.loads(os.environ[_VARIABLE]))


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
    """Module finder of some top-level modules; it comes after all others.

    Args:
        found: the folder of each module that was found.
    """

    def __init__(self, found: dict[str, str]) -> None:
        self.found = found
        self._expected: dict[str, str] = {}

    def expect(self, name: str, folder: str) -> None:
        """Let a module be found in a folder."""
        self._expected[name] = folder

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: Any = None) -> Any:
        """Return the spec of a module that was named, or that a file of the same folder imports; or None."""
        # Submodules are found through their package.
        if path is not None:
            return None
        # What is named now comes before what was found earlier, perhaps in a folder that is gone.
        for folder in (self._expected.get(fullname), self.found.get(fullname), self._folder_of_importer()):
            if folder is None:
                continue
            spec = importlib.machinery.PathFinder.find_spec(fullname, [folder])
            if spec is None:
                continue
            if self.found.get(fullname) != folder:
                self.found[fullname] = folder
                os.environ[_VARIABLE] = json.dumps(self.found)
            return spec
        return None

    def _folder_of_importer(self) -> str | None:
        """Return the folder of own modules that the importing file belongs to."""
        file = _importing_file(sys._getframe(2))
        for name, folder in self.found.items():
            if _belongs(file, folder, name):
                return folder
        return None


def _belongs(file: str, folder: str, name: str) -> bool:
    """Tell the file of a module, or one inside a package, from others of its folder."""
    place = os.path.join(folder, name)  # noqa: PTH118
    return file == f"{place}.py" or file.startswith(place + os.sep)


def _importing_file(frame: FrameType | None) -> str:
    """Return the file that an import statement is in."""
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith("<frozen importlib") and not file.endswith(_IMPORTLIB):
            return file
        frame = frame.f_back
    return ""


def _finder() -> _Finder:
    """Return the finder of this process, put after all others."""
    for other in sys.meta_path:
        if isinstance(other, _Finder):
            return other
    finder = _Finder({})
    sys.meta_path.append(finder)
    return finder
