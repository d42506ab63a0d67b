"""Checksum at the beginning of a text whose lines may begin with ``#``: a recipe of a run."""

import hashlib
import re

# First, so that a text that was cut off has it.
_LINE = re.compile(r"\A# checksum of the lines below: (?P<digest>.*)(\n|\Z)")


def sealed_text(text: str) -> str:
    """Return a text with a first line, a comment, that holds its checksum."""
    return f"# checksum of the lines below: {_digest(text)}\n{text}"


def was_changed(text: str) -> bool:
    """Tell whether a text is another than was written; one without the first line is not known to be."""
    found = _LINE.match(text)
    return found is not None and _digest(text[found.end() :]) != found["digest"]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
