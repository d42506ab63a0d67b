"""Report of a conversion: what was assumed, and what of the original has no place in the recipe."""

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Report:
    """Notes of a conversion, in the order in which they were made, each once.

    Args:
        source: file or command that was converted.
        assumed: what the original does not say itself, and what the recipe does otherwise.
        left: what could not be carried over.
    """

    source: str
    assumed: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def assume(self, text: str) -> None:
        """Note an assumption, or a small difference between the recipe and the original."""
        if text not in self.assumed:
            self.assumed.append(text)

    def leave(self, text: str) -> None:
        """Note what could not be carried over."""
        if text not in self.left:
            self.left.append(text)

    def lines(self) -> Iterator[str]:
        """Yield the report line by line, as it stands in the recipe's header and on the terminal."""
        yield f"Converted from {_one_line(self.source)}."
        if self.assumed:
            yield "Assumed or done otherwise:"
        for text in self.assumed:
            yield f"- {_one_line(text)}"
        if self.left:
            yield "Not carried over:"
        for text in self.left:
            yield f"- {_one_line(text)}"
        if not self.left:
            yield "Everything else was carried over."


def _one_line(text: str) -> str:
    """Return the text on one line without control characters: it may come from any file."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return " ".join(printable.split())
