"""The walk of a recipe through the package: which files it enters on its way to the first step."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import BaseModel

import densekd
from densekd.recipe import Recipe

PACKAGE = Path(densekd.__file__).parent
RECIPE = Recipe.__module__.rpartition(".")[0]


class Walk:
    """The files that a recipe enters.

    A file is entered when one of its functions is called with the recipe, one of its sections or a tuple of them among
    the arguments, and the file entered last was another one. Methods of the recipe itself enter nothing: it does not
    leave the function that holds it. Nor does coming back from a call.
    """

    def __init__(self) -> None:
        self.stays: list[str] = []
        self.calls: list[tuple[str, str]] = []

    @property
    def rooms(self) -> list[str]:
        """Every file once, in the order of the first entry."""
        return list(dict.fromkeys(self.stays))

    @property
    def returns(self) -> list[str]:
        """Files that were entered again after they had been left."""
        return [room for index, room in enumerate(self.stays) if room in self.stays[:index]]

    def note(self, frame: FrameType, event: str, argument: Any) -> None:
        """Profile function of :func:`sys.setprofile`."""
        path = frame.f_code.co_filename
        if event != "call" or not path.startswith(str(PACKAGE)):
            return
        room = str(Path(path).relative_to(PACKAGE))
        if room.startswith("recipe/"):
            return
        count = frame.f_code.co_argcount + frame.f_code.co_kwonlyargcount
        given = [frame.f_locals.get(name) for name in frame.f_code.co_varnames[:count]]
        if not any(_is_part(value) for value in given):
            return
        self.calls.append((room, frame.f_code.co_qualname))
        if not self.stays or self.stays[-1] != room:
            self.stays.append(room)


def _is_part(value: Any) -> bool:
    if isinstance(value, tuple):
        return any(_is_part(part) for part in value)
    return isinstance(value, BaseModel) and type(value).__module__.startswith(RECIPE)


@contextmanager
def walking() -> Iterator[Walk]:
    """Follow the recipe through what is called within the block."""
    walk = Walk()
    sys.setprofile(walk.note)
    try:
        yield walk
    finally:
        sys.setprofile(None)
