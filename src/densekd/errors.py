"""Errors meant for people: one clear message that says what, where and how to mend it."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Literal

# Headings of docs/troubleshooting.md, as their anchors are written.
Trouble = Literal["no-gain", "nan", "out-of-memory", "slow", "mismatch", "offline", "a-run-folder-in-the-way"]


def see(trouble: Trouble) -> str:
    """Return where the documentation says more of a trouble than a message can, for its end."""
    return f"See docs/troubleshooting.md#{trouble}."


class UserError(Exception):
    """Something the user can mend. The command line prints the message alone and exits with ``code``.

    Args:
        message: what, where and how to mend it. What a loading process of torch hands on is the
            message and the traceback around it; the message alone is kept.
    """

    code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(without_traceback(message))


class RecipeError(UserError):
    """A recipe or an argument is wrong; nothing was started."""

    code = 2


# How torch hands on the error of a loading process.
_HANDED_ON = re.compile(r"Caught \w+ in .*\nOriginal Traceback ")
# The last error of a traceback: ``package.module.Name: message``, at the beginning of a line.
_RAISED = re.compile(r"^(?:\w+\.)*(\w+): ", re.MULTILINE)

# Names that a message lists at most.
_LISTED = 60


def without_traceback(message: str) -> str:
    """Return the message of an error that a loading process of torch handed on with its traceback.

    Any other message is returned as it is.
    """
    handed_on = _HANDED_ON.match(message)
    if handed_on is None:
        return message
    # Errors that led to this one stand before it; lines of code are indented.
    name = message.split(maxsplit=2)[1]
    raised = [found for found in _RAISED.finditer(message) if found[1] == name]
    return message[raised[-1].end() :].strip() if raised else message


def suggest(wrong: str, known: Iterable[str]) -> str:
    """Say which name was probably meant and list the known ones, for the end of a message."""
    names = sorted(known)
    near = get_close_matches(wrong, names, n=1, cutoff=0.5)
    listed = ", ".join(names[:_LISTED]) or "none"
    more = len(names) - _LISTED
    listed += f" and {more} more" if more > 0 else ""
    meant = f"Did you mean '{near[0]}'? " if near else ""
    return f"{meant}Known: {listed}."
