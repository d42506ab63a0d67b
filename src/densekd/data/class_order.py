"""Compare the classes of two sides by name: the same order, another order, or other classes."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol, Self, TypeVar, runtime_checkable

from densekd.data.classes import Classes
from densekd.data.contract import Files
from densekd.data.numbering import Numbering
from densekd.errors import RecipeError

# Names that a message lists at most of one side.
_LISTED = 40


@runtime_checkable
class Renumbered(Protocol):
    """Files whose labels can be counted in another order."""

    def renumber(self, numbering: Numbering) -> Self:
        """Return the same images, their labels counted by other numbers."""
        ...


F = TypeVar("F", bound=Files)


def spelled(name: str) -> str:
    """Return a name as it is compared: without case, spaces and punctuation."""
    kept = "".join(letter for letter in name.casefold() if letter.isalnum())
    # A name of nothing but punctuation is compared as it is.
    return kept or name


def positions(found: Sequence[str], among: Sequence[str]) -> tuple[int, ...] | None:
    """Return for each name its place among others; None where one is not there.

    Args:
        found: class names.
        among: class names that are counted from 0.
    """
    left, right = list(map(spelled, found)), list(map(spelled, among))
    # Names that differ in nothing but spelling are told apart as they stand.
    if len(set(left)) < len(left) or len(set(right)) < len(right):
        left, right = list(found), list(among)
    places = {name: place for place, name in enumerate(right)}
    if not set(left) <= set(places):
        return None
    return tuple(places[name] for name in left)


def follow(files: F, classes: Classes, categories: tuple[int, ...], who: str, whom: str) -> tuple[F, str | None]:
    """Bring files to the classes of another side, compared by name.

    The files may have fewer classes, as the categories of a validation file that lists those that it
    uses.

    Args:
        files: whose labels are counted anew where they must be.
        classes: the other side's.
        categories: the other side's numbers in files of results; empty for the files' own.
        who: the files, for messages.
        whom: the other side, for messages.

    Returns:
        The files in the other side's classes, and what people should know of it, or None.

    Raises:
        RecipeError: classes that the other side does not have; both lists are shown.
    """
    own = files.classes
    if (own.names, own.ignore_index) == (classes.names, classes.ignore_index) and categories in ((), files.categories):
        return files, None
    numbers = positions(own.names, classes.names)
    same = numbers == tuple(range(len(classes.names)))
    if numbers is None or not isinstance(files, Renumbered):
        raise RecipeError(describe_difference(own.names, classes.names, who, whom))
    followed: F = files.renumber(Numbering(classes, numbers, categories))
    # Names in the same order are the same classes, however they are spelled.
    if same:
        return followed, None
    if len(numbers) == len(classes.names):
        return followed, f"classes: {who} counts them in another order than {whom}; they were matched by name."
    names = shown(own.names)
    return followed, (
        f"classes: {who} has {len(numbers)} of the {len(classes.names)} of {whom} ({names}); they were matched by name."
    )


def reordered(classes: Classes, names: Sequence[str]) -> Classes:
    """Return classes in the order of these names, which must be the same; colors go along.

    Raises:
        ValueError: other names.
    """
    order = positions(names, classes.names)
    if order is None or len(order) != len(classes.names):
        raise ValueError("not the same names")
    palette = tuple(classes.palette[k] for k in order)
    submission = tuple(classes.submission[k] for k in order if classes.submission)
    return Classes(tuple(names), palette, classes.ignore_index, submission)


def with_notes(files: F, *notes: str | None) -> F:
    """Return files that say something more of themselves, where they can."""
    told = tuple(note for note in notes if note)
    if not told or not hasattr(files, "notes"):
        return files
    more: F = replace(files, notes=(*files.notes, *told))  # type: ignore[type-var]
    return more


def notes_of(files: Files) -> tuple[str, ...]:
    """Return what people should know of files, a sentence each."""
    notes: tuple[str, ...] = getattr(files, "notes", ())
    return notes


def describe_difference(names: Sequence[str], others: Sequence[str], who: str, whom: str) -> str:
    """Say how the classes of two sides differ, with both lists."""
    only = _without(names, others)
    missing = _without(others, names)
    parts = [f"the classes of {who} are not those of {whom}. {who}: {shown(names)}. {whom}: {shown(others)}."]
    if only:
        parts.append(f"Only {who} has {shown(only)}.")
    if missing:
        parts.append(f"Only {whom} has {shown(missing)}.")
    return " ".join(parts)


def shown(names: Sequence[str]) -> str:
    """List names for a message; of many the first."""
    listed = ", ".join(names[:_LISTED]) or "none"
    more = len(names) - _LISTED
    return f"{listed} and {more} more" if more > 0 else listed


def _without(names: Sequence[str], others: Sequence[str]) -> list[str]:
    known = set(map(spelled, others))
    return [name for name in names if spelled(name) not in known]
