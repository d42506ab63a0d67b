"""Nested settings that remember what was read of them, so that nothing is dropped in silence."""

from collections.abc import Iterator
from typing import Any

Path = tuple[str | int, ...]
_SHOWN = 60


class Settings:
    """View of nested dicts and lists that marks every value which was read.

    Args:
        value: plain data.
        read: paths that were read, shared by all views of one configuration.
        path: of this view in the whole.
    """

    def __init__(self, value: Any, read: set[Path] | None = None, path: Path = ()) -> None:
        self.value = value
        self.path = path
        self._read: set[Path] = set() if read is None else read

    def at(self, *keys: str | int) -> "Settings":
        """Return the view of a part, an empty mapping where it is not there; nothing is marked."""
        value = self.peek(*keys)
        if value is None:
            value = {}
        return Settings(value, self._read, (*self.path, *keys))

    def peek(self, *keys: str | int) -> Any:
        """Return a value without marking it, or None."""
        place = self.value
        for key in keys:
            place = _part(place, key)
            if place is None:
                return None
        return place

    def get(self, *keys: str | int, default: Any = None) -> Any:
        """Return a value and mark it, with all that is in it, as read."""
        value = self.peek(*keys)
        self._read.add((*self.path, *keys))
        return default if value is None else value

    def expect(self, *keys: str | int, value: Any) -> None:
        """Mark a value as read where it says what is done anyway; elsewhere it stays to be reported."""
        found = self.peek(*keys)
        if found is None or plain(found) == plain(value):
            self._read.add((*self.path, *keys))

    def expect_type(self, name: str) -> None:
        """Mark ``type`` as read where it is a name, with or without its package."""
        if str(self.peek("type")).rpartition(".")[2] == name:
            self.get("type")

    def ignore(self, *names: str) -> None:
        """Mark entries as read that mean nothing for the recipe."""
        for name in names:
            self._read.add((*self.path, name))

    def ignore_entries(self, name: str, *keys: str) -> None:
        """Mark entries of one mapping as read that mean nothing for the recipe."""
        for key in keys:
            self._read.add((*self.path, name, key))

    def items(self) -> Iterator["Settings"]:
        """Yield the views of a list's items."""
        if isinstance(self.value, (list, tuple)):
            for index in range(len(self.value)):
                yield self.at(index)

    def named(self) -> Iterator[tuple[str, "Settings"]]:
        """Yield the names of a mapping's entries and their views."""
        if isinstance(self.value, dict):
            for name in self.value:
                yield name, self.at(name)

    def unread(self) -> list[str]:
        """Return what nobody read, as ``model.backbone.plugins = ...``."""
        found: list[str] = []
        self._collect(self.value, self.path, found)
        return found

    def _collect(self, value: Any, path: Path, found: list[str]) -> bool:
        """Collect unread values below a path; return whether anything of it was read."""
        if path in self._read:
            return True
        parts = _parts(value)
        if not parts:
            empty = isinstance(value, (dict, list, tuple)) or value is None
            if not empty:
                found.append(_shown(path, value))
            return empty
        before = len(found)
        touched = False
        for key, part in parts:
            touched = self._collect(part, (*path, key), found) or touched
        # A part of which nothing was read is one line.
        if not touched and path:
            found[before:] = [_shown(path, value)]
        return touched


def plain(value: Any) -> Any:
    """Return data in which tuples are lists, to compare values of both spellings."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value


def _part(place: Any, key: str | int) -> Any:
    if isinstance(place, dict):
        return place.get(key)
    inside = isinstance(place, (list, tuple)) and isinstance(key, int) and key < len(place)
    return place[key] if inside else None


def _parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    if isinstance(value, (list, tuple)):
        return list(enumerate(value))
    return []


def _shown(path: Path, value: Any) -> str:
    text = repr(value)
    if len(text) > _SHOWN:
        text = text[: _SHOWN - 3] + "..."
    return f"{'.'.join(str(key) for key in path)} = {text}"
