"""The terminal: one console for every command, quiet libraries, errors as one message."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.text import Text

from densekd.terminal import Terminal, visible

console = Terminal()


def print_plain(text: str) -> None:
    """Print a line as it is: numbers are not colored, long paths are not broken, brackets are text."""
    console.print(text, highlight=False, soft_wrap=True)


def print_notes(notes: Iterable[str]) -> None:
    """Print what people should know of a model; brackets are text, not markup."""
    for note in notes:
        console.print(note, highlight=False, soft_wrap=True)


def print_error(message: str) -> None:
    """Print an error to the standard error stream; the message's brackets are text, not markup."""
    line = Text.assemble(("error:", "red"), " ", visible(message))
    Terminal(stderr=True).print(line, highlight=False, soft_wrap=True)


def print_error_note(text: str) -> None:
    """Print lines to the standard error stream that are no error."""
    Terminal(stderr=True).print(text, highlight=False, soft_wrap=True)


def write_json(path: Path | None, content: Any) -> None:
    """Write what a command found as JSON, where ``--json FILE`` asks for it."""
    from densekd.atomic import write_text

    if path is not None:
        write_text(path, json.dumps(content, indent=1) + "\n")
