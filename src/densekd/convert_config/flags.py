"""Options of a command as argparse reads them, each remembered when it is read."""

import math
from collections.abc import Sequence
from typing import Any

from densekd.convert_config.report import Report
from densekd.errors import UserError


class Flags:
    """Options ``--name value ...`` of a command.

    Values that are several words, as in ``--data [your dataset path]/cityscapes/``, are joined.

    Args:
        words: what stands after the script's name.
        where: for messages.
    """

    def __init__(self, words: Sequence[str], where: str) -> None:
        self._where = where
        self._values: dict[str, list[str]] = {}
        self._read: set[str] = set()
        name = ""
        for word in words:
            is_flag = word.startswith("-") and not _is_number(word)
            if is_flag:
                flag, equals, value = word.partition("=")
                name = flag.lstrip("-").replace("_", "-")
                self._values[name] = [value] if equals else []
            elif name:
                self._values[name].append(word)

    def has(self, name: str) -> bool:
        """Whether an option is there; it counts as read."""
        self._read.add(name)
        return name in self._values

    def text(self, name: str, default: str) -> str:
        """Return an option's text."""
        self._read.add(name)
        words = self._values.get(name)
        return " ".join(words) if words else default

    def number(self, name: str, default: float) -> float:
        """Return an option as a number, an integer where it is one.

        Raises:
            UserError: it is none.
        """
        text = self.text(name, str(default))
        try:
            value = float(text)
        except ValueError as error:
            raise UserError(f"{self._where}: --{name} {text} is no number.") from error
        if not math.isfinite(value):
            raise UserError(f"{self._where}: --{name} {text} is no number.")
        return int(value) if value == int(value) else value

    def numbers(self, name: str, default: Sequence[int]) -> list[int]:
        """Return an option of several integers: ``512 1024`` or ``512,1024``.

        Raises:
            UserError: they are none.
        """
        text = self.text(name, " ".join(str(value) for value in default))
        try:
            return [int(word) for word in text.replace(",", " ").split()]
        except ValueError as error:
            raise UserError(f"{self._where}: --{name} {text} are no integers.") from error

    def truth(self, name: str, default: bool) -> bool:
        """Return an option as TorchDistiller reads it: yes, true, t, y, 1 or their opposites.

        Raises:
            UserError: it is neither.
        """
        text = self.text(name, str(default)).lower()
        if text in ("yes", "true", "t", "y", "1"):
            return True
        if text in ("no", "false", "f", "n", "0"):
            return False
        raise UserError(f"{self._where}: --{name} {text} is neither True nor False.")

    def ignore(self, *names: str) -> None:
        """Count options as read that mean nothing for a recipe."""
        self._read.update(names)

    def report_unread(self, report: Report) -> None:
        """List the options that nobody read."""
        for name, words in self._values.items():
            if name not in self._read:
                report.leave(" ".join([f"--{name}", *words]))


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def weighted(value: float) -> Any:
    """Return a weight as a recipe writes it: 1 rather than 1.0."""
    return int(value) if value == int(value) else value
