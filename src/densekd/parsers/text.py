"""Text of people's files: UTF-8 with or without a byte order mark, or UTF-16 or UTF-32 with one."""

import codecs
from pathlib import Path

from densekd.parsers.files import read_bytes

# Lists of the largest data sets have a tenth of this.
MOST_MEGABYTES = 1000
# Of a whole number: no size, count or class has more, and Python refuses to read thousands of them.
_MOST_DIGITS = 18
# The marks of UTF-32 begin with those of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class EncodingError(ValueError):
    """Bytes that are no text in a known encoding."""


def load_text(path: Path, megabytes: float = MOST_MEGABYTES) -> str:
    """Read a text file.

    Raises:
        OSError: it cannot be read, or is no file.
        ValueError: a file that is too large, or in another encoding (EncodingError).
    """
    return decode_text(read_bytes(path, megabytes))


def decode_text(content: bytes) -> str:
    """Decode UTF-8, or UTF-16 or UTF-32 with a byte order mark.

    Raises:
        EncodingError: another encoding.
    """
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _decoded(content, encoding)
    text = _decoded(content, "utf-8-sig")
    # In UTF-16 without a mark, every second byte of plain text is zero.
    if "\0" in text:
        raise EncodingError("not text in UTF-8, perhaps UTF-16: it has zero bytes")
    return text


def _decoded(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        name = encoding.upper().removesuffix("-SIG")
        line = content.count(b"\n", 0, error.start) + 1
        raise EncodingError(
            f"not readable as text in {name}: byte {error.start}, line {line}: {error.reason}"
        ) from error


def whole_number(text: str) -> int | None:
    """Read a whole number of decimal digits; None where a text is anything else, or longer than any size or count."""
    return int(text) if text.isdecimal() and len(text) <= _MOST_DIGITS else None
