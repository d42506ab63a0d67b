"""The terminal: one console for every command, quiet libraries, errors as one message."""

import json
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from densekd.terminal import Terminal, be_quiet, visible, write_document

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


def print_next(*words: object, listing: bool = False, trust: Iterable[str] | None = None) -> None:
    """Print the command that usually comes next; where it is quiet, nothing.

    Args:
        words: of the command; those that a shell would split are quoted.
        listing: it follows a list, which is left as it is where it goes into a pipe.
        trust: modules of the model that the next command has to trust as well.
    """
    if listing and not console.is_terminal:
        return
    for name in trust or ():
        words = (*words, "--trust", name)
    print_plain(f"next: {' '.join(shlex.quote(str(word)) for word in words)}")


def print_next_prediction(model: object, trust: Iterable[str] | None = None) -> None:
    """Print the command that predicts: of a run its validation images, of other models a folder of pictures."""
    run = (Path(str(model)) / "recipe.yaml").is_file()
    print_next("densekd", "predict", model, *(() if run else ("pictures/",)), trust=trust)


def table_rows(table: Table) -> list[dict[str, str]]:
    """Return the rows of a table as JSON takes them: heading -> cell, as it is shown."""
    heads = [str(column.header) or "name" for column in table.columns]
    cells = [[str(cell) for cell in column.cells] for column in table.columns]
    return [dict(zip(heads, row, strict=True)) for row in zip(*cells, strict=True)]


def catalogue_rows(table: Table) -> list[dict[str, str]]:
    """Return a catalogue's rows: name, what it is, options; whatever its first column is called."""
    return [dict(zip(("name", "what", "options"), row.values(), strict=True)) for row in table_rows(table)]


def begin_json(path: Path | None) -> bool:
    """Return whether ``--json -`` asks for JSON on the standard output, where nothing else is printed then."""
    if path is None or str(path) != "-":
        return False
    be_quiet()
    return True


def write_json(path: Path | None, content: Any) -> None:
    """Write what a command found as JSON, where ``--json FILE`` asks for it, or ``--json -`` to the standard output."""
    from densekd.atomic import write_text

    if path is None:
        return
    text = json.dumps(content, indent=1) + "\n"
    if begin_json(path):
        write_document(text)
    else:
        write_text(path, text)
