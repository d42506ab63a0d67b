"""Merge, rename and drop classes: from the values in label files to the classes that are learned."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from densekd.data.classes import Classes, distinct_colors
from densekd.errors import RecipeError, suggest

Meaning = Mapping[int | str, int | str | None]
"""Value in the files, or name of a class -> value or name of another; None: void."""


def relabel(
    classes: Classes, numbers: Mapping[int, str], ignore: Iterable[int | str], meaning: Meaning
) -> tuple[Classes, dict[int, int]]:
    """Return the classes that are learned, and the label of each value in the files.

    A class to which no value leads any more is dropped. A new name takes the place and color of the
    first class that leads to it.

    Args:
        classes: those that describe the files.
        numbers: value in the files -> name of its class.
        ignore: values or names whose pixels become void.
        meaning: where other values or classes lead.

    Raises:
        RecipeError: an unknown name or value, or no class left.
    """
    leads: dict[int, str | None] = dict(numbers)
    leads.setdefault(classes.ignore_index, None)
    for one in ignore:
        leads[_value(one, numbers, "ignore")] = None
    for source, target in meaning.items():
        leads[_value(source, numbers, "map")] = _target(target, numbers)
    kept = _kept(classes, numbers, leads)
    if not kept:
        raise RecipeError("data.options: ignore and map leave no class to learn.")
    names = list(kept)
    labels: dict[int, int] = {}
    for value, name in leads.items():
        labels[value] = classes.ignore_index if name is None else names.index(name)
    if tuple(names) == classes.names:
        return classes, labels
    return replace(classes, names=tuple(names), palette=tuple(kept.values()), submission=()), labels


def _value(one: int | str, numbers: Mapping[int, str], option: str) -> int:
    """Return the value in the files that an option means by a number or a class's name."""
    if isinstance(one, str):
        for value, name in numbers.items():
            if name == one:
                return value
        raise RecipeError(f"data.options.{option}: '{one}' is no class. {suggest(one, list(numbers.values()))}")
    if one not in range(256):
        raise RecipeError(f"data.options.{option}: {one} is no label value; they are 0 to 255.")
    return one


def _target(target: int | str | None, numbers: Mapping[int, str]) -> str | None:
    """Return the name of the class that ``map`` leads to; None for void."""
    if isinstance(target, int):
        if target not in numbers:
            known = ", ".join(f"{value} {name}" for value, name in numbers.items())
            raise RecipeError(f"data.options.map: {target} is no class's value in the label files; they are {known}.")
        return numbers[target]
    return target


def _kept(
    classes: Classes, numbers: Mapping[int, str], leads: Mapping[int, str | None]
) -> dict[str, tuple[int, int, int]]:
    """Return names and colors of the classes that a value leads to, in the order of the files."""
    wanted = [name for name in leads.values() if name is not None]
    kept: dict[str, tuple[int, int, int]] = {}
    for (value, name), color in zip(numbers.items(), classes.palette, strict=True):
        lead = leads[value]
        if name in wanted:
            kept[name] = color
        elif lead is not None and lead not in numbers.values():
            kept.setdefault(lead, color)
    # What only values without a name lead to comes last, in colors of their own.
    for name in wanted:
        kept.setdefault(name, _new_color(kept.values()))
    return kept


def _new_color(taken: Iterable[Sequence[int]]) -> tuple[int, int, int]:
    used = [tuple(color) for color in taken]
    for color in distinct_colors(len(used) + 1):
        if color not in used:
            return color
    return distinct_colors(1)[0]
