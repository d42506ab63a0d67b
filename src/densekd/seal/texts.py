"""Checksum at the end of a text whose lines may begin with ``#``: a recipe of a run."""

import hashlib
import re

_LINE = re.compile(r"^# checksum of the lines above: (?P<digest>.*)\n?\Z", re.MULTILINE)


def sealed_text(text: str) -> str:
    """Return a text with a last line, a comment, that holds its checksum."""
    return f"{text}# checksum of the lines above: {_digest(text)}\n"


def was_changed(text: str) -> bool:
    """Tell whether a text is another than was written; one without the last line is not known to be."""
    found = _LINE.search(text)
    return found is not None and _digest(text[: found.start()]) != found["digest"]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
