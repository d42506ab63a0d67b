"""Types of the entries of a package's description: a file may say anything."""

from collections.abc import Callable, Mapping
from typing import Any

Check = Callable[[Any], bool]


def wrong_entry(entries: Mapping[str, Any]) -> str | None:
    """Say which entry of :class:`densekd.models.package.PackageConfig` is not of its type; None where all are.

    Args:
        entries: as a JSON or a checkpoint has them.
    """
    for name, (check, wanted) in _ENTRIES.items():
        if name in entries and not check(entries[name]):
            shown = repr(entries[name])[:60]
            return f"'{name}' must be {wanted}, not {shown}"
    classes, palette = entries.get("classes", ()), entries.get("palette", ())
    if len(classes) != len(palette):
        return f"{len(classes)} classes and {len(palette)} colors in 'palette'"
    return None


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_options(value: Any) -> bool:
    return isinstance(value, Mapping) and all(isinstance(key, str) for key in value)


def _is_texts(value: Any) -> bool:
    return _is_options(value) and all(map(_is_text, value.values()))


def _all_are(check: Check) -> Check:
    """Return the check of a list."""
    return lambda value: isinstance(value, list | tuple) and all(check(one) for one in value)


def _is_color(value: Any) -> bool:
    if not isinstance(value, list | tuple) or len(value) != 3:
        return False
    return all(_is_whole(one) and 0 <= one <= 255 for one in value)


def _is_size(value: Any) -> bool:
    if value is None:
        return True
    if not isinstance(value, list | tuple) or len(value) not in (1, 2):
        return False
    return all(_is_whole(one) and one > 0 for one in value)


def _is_bands(value: Any) -> bool:
    return _is_whole(value) or _all_are(_is_whole)(value)


_ENTRIES: dict[str, tuple[Check, str]] = {
    "model": (_is_text, "a name"),
    "options": (_is_options, "a mapping of names to values"),
    "classes": (_all_are(_is_text), "a list of names"),
    "palette": (_all_are(_is_color), "a list of colors [red, green, blue], 0 to 255"),
    "ignore_index": (_is_whole, "a whole number"),
    "resize": (_is_size, "null or one or two sizes in pixels"),
    "categories": (_all_are(_is_whole), "a list of whole numbers"),
    "task": (_is_text, "a name"),
    "task_options": (_is_options, "a mapping of names to values"),
    "licenses": (_is_texts, "a mapping of names to texts"),
    "bands": (_is_bands, "a whole number or a list of them"),
}
