"""The one way to the terminal: what a name, file or error holds is never markup and never an escape sequence.

Everything that is printed goes through :class:`Terminal` or :func:`write_document`, and every log
message through :func:`logger`; a test walks the source for other ways.
"""

import logging
import os
import re
import sys
import textwrap
import traceback
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from types import TracebackType
from typing import Any, Literal, TypeVar

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.segment import Segment
from rich.table import Column, Table
from rich.text import Text

T = TypeVar("T")

# What stays in sight where the rest is quiet begins so. The variable tells the processes that are started.
_WARNING = "warning:"
_QUIET = "DENSEKD_QUIET"

# Wider than any terminal: what a table would take if nothing held it back.
_WIDE = 10_000

# Control characters but for tab and new line, marks that turn the direction of text or end its line,
# and the halves of characters that stand for bytes of file names.
_INVISIBLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Return text with its control characters written as escapes, ``\x1b``."""
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def be_quiet() -> None:
    """Let this process and those that it starts print nothing but warnings, errors and documents."""
    os.environ[_QUIET] = "1"


def is_quiet() -> bool:
    """Return whether nothing but warnings, errors and documents is printed."""
    return os.environ.get(_QUIET) == "1"


def clock(seconds: float) -> str:
    """Return a duration as people read it: ``4:30``, ``1:05:00``, ``3 d 4 h``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


class Terminal(Console):
    """Console of rich on which text is text: no markup, no emoji codes, no control characters.

    Where nobody reads any more (``| head``), it falls silent and the work goes on.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Make text of a string before it is measured, so that its escapes have their width."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is shown; rich's own cursor movements are apart from text."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=visible(segment.text))

    def print(self, *things: Any, **options: Any) -> None:
        """Print; where it shall be quiet, nothing but warnings, to the standard error stream."""
        if not is_quiet() or self.stderr or self.file is not sys.stdout:
            fitted = [self._fitted(thing) if isinstance(thing, Table) else thing for thing in things]
            super().print(*fitted, **options)
        elif things and str(things[0]).startswith(_WARNING):
            Terminal(stderr=True).print(*things, **options)

    def _fitted(self, table: Table) -> Table:
        """Return a table that is whole: a wide one loses its lines, and its cells break in place of being cut."""
        room = self.options.update(width=_WIDE)
        if Measurement.get(self, room, table).maximum <= self.width:
            return table
        fitted = copy(table)
        fitted.columns = [copy(column) for column in table.columns]
        # Two spaces between columns in place of a line with a space on each side.
        fitted.box, fitted.show_edge, fitted.pad_edge, fitted.padding = box.SIMPLE_HEAD, False, False, (0, 1, 0, 0)
        _narrow(fitted.columns, self.width - 2 * (len(fitted.columns) - 1))
        return fitted

    def on_broken_pipe(self) -> None:
        """Fall silent."""
        self.quiet = True
        _forget(self.file)


def _narrow(columns: Sequence[Column], room: int) -> None:
    """Give columns widths that add up to a terminal's.

    Columns of numbers (those set to the right) are as wide as their numbers, and their headings have several lines.
    Columns of text share what is left, the widest gives first.

    Args:
        columns: of a table.
        room: characters of all of them.
    """
    texts, uncut = [], []
    for column in columns:
        column.overflow = "fold"
        lines, words = _lengths(column)
        if column.justify != "right":
            texts.append((column, lines, words))
            # What is there to be copied stays in one piece.
            uncut.append(lines if column.no_wrap else 1)
            continue
        column.width = max(words, *[cell_len(str(cell)) for cell in column.cells], 1)
        head = textwrap.wrap(str(column.header), column.width, break_long_words=False, break_on_hyphens=False)
        column.header = "\n".join(head)
        room -= column.width
    widths = [lines for _, lines, _ in texts]
    # Lines are broken between words, and words only where that does not do.
    for least in ([words for _, _, words in texts], uncut):
        while sum(widths) > room:
            spare = [k for k, width in enumerate(widths) if width > least[k]]
            if not spare:
                break
            widths[max(spare, key=widths.__getitem__)] -= 1
    for (column, _, _), width in zip(texts, widths, strict=True):
        column.width = width


def _lengths(column: Column) -> tuple[int, int]:
    """Return the length of the longest line of a column, and that of its longest word (of a number: in its heading)."""
    texts = [str(column.header), *map(str, column.cells)]
    lines = [cell_len(line) for text in texts for line in text.splitlines()]
    read = texts[:1] if column.justify == "right" else texts
    words = [cell_len(word) for text in read for word in text.split()]
    return max(lines, default=1), max(words, default=1)


def track(
    items: Iterable[T], what: str, total: int | None = None, stream: Literal["out", "error"] = "out", shown: bool = True
) -> Iterator[T]:
    """Yield items, with a bar and the time left on a terminal, which disappears at the end.

    Args:
        items: what is done one after the other.
        what: is done, a word or two.
        total: number of items, where they do not say it.
        stream: the standard output, or that of errors.
        shown: whether there is a bar at all.
    """
    terminal = Terminal(stderr=stream == "error")
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
    )
    hidden = is_quiet() or not (shown and terminal.is_terminal)
    with Progress(*columns, console=terminal, transient=True, disable=hidden) as bar:
        yield from bar.track(items, total, description=what)


def write_document(text: str) -> None:
    """Write a document, YAML, JSON or Markdown, to the standard output as it is, but for control characters."""
    try:
        sys.stdout.write(visible(text))
        sys.stdout.flush()
    except BrokenPipeError:
        _forget(sys.stdout)


def logger() -> logging.Logger:
    """Return the package's logger; control characters in its messages are shown as escapes."""
    found = logging.getLogger("densekd")
    # The same filter is added once.
    found.addFilter(_as_visible)
    return found


def prepare_streams() -> None:
    """Let the standard streams write any text in the terminal's own encoding."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def hook_tracebacks() -> None:
    """Let tracebacks show control characters as escapes."""
    sys.excepthook = _show_traceback


def _as_visible(record: logging.LogRecord) -> bool:
    record.msg, record.args = visible(record.getMessage()), ()
    return True


def _show_traceback(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    sys.stderr.write(visible("".join(traceback.format_exception(kind, error, where))))


def _forget(stream: Any) -> None:
    """Lead a stream that nobody reads to nowhere, so that Python does not complain of it at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
