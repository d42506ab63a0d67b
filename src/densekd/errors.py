"""Errors meant for people: one clear message that says what, where and how to mend it."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """Something the user can mend. The command line prints the message alone and exits with ``code``."""

    code = 1


class RecipeError(UserError):
    """A recipe or an argument is wrong; nothing was started."""

    code = 2


# Names that a message lists at most.
_LISTED = 60


def suggest(wrong: str, known: Iterable[str]) -> str:
    """Say which name was probably meant and list the known ones, for the end of a message."""
    names = sorted(known)
    near = get_close_matches(wrong, names, n=1, cutoff=0.5)
    listed = ", ".join(names[:_LISTED]) or "none"
    more = len(names) - _LISTED
    listed += f" and {more} more" if more > 0 else ""
    meant = f"Did you mean '{near[0]}'? " if near else ""
    return f"{meant}Known: {listed}."
