"""Chosen fields of the records of a large JSON file, a piece of the file at a time."""

import codecs
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import SchemaValidator, ValidationError, core_schema

from densekd.parsers.files import require_file

# Bytes that are parsed at a time, and the longest record or other value. Of larger pieces the arrays go
# back to the system each time, which takes twice as long.
_PIECE = 1 << 16
_LONGEST = 1 << 26
# JSON's spaces, which are fewer than those of text.
_SPACES = b" \t\n\r"
# Where a list of records begins.
_BEGIN = re.compile(rb"\[[ \t\n\r]*(?=\{)")
# What a text holds behind a backslash, quotes among it.
_ESCAPED = re.compile(rb"\\.", re.DOTALL)
# How much deeper each byte leads, as signed bytes: 255 is -1.
_STEPS = bytes(1 if byte in b"[{" else 255 if byte in b"]}" else 0 for byte in range(256))
_SPACE = re.compile(rb"[ \t\n\r]*")
_BEHIND_A_VALUE = tuple(":,} \t\n\r")

# Parses a list of records.
_Parse = SchemaValidator


def read_records(path: Path, fields: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Read an object of lists of records: some fields of each record, a piece of a list at a time.

    Args:
        path: of the file.
        fields: of the records of each list.

    Yields:
        The name of a list and its next records.

    Raises:
        OSError: it cannot be read.
        ValueError: the file is not what it should be, a list comes twice, or a record is longer than
            64 MB; :func:`densekd.parsers.json_files.load_json` says what is wrong.
    """
    require_file(path)
    parsers = {name: _list_of(keys) for name, keys in fields.items()}
    seen: set[str] = set()
    with path.open("rb") as file:
        text = _Text(file)
        text.take(b"{")
        while True:
            name = text.value()
            text.take(b":")
            if not isinstance(name, str) or name in seen:
                raise ValueError
            seen.add(name)
            if text.begins_records():
                for records in text.records(parsers.get(name) or _list_of(())):
                    if name in fields:
                        yield name, records
            elif name in fields:
                # A list without records; anything else is none.
                if text.value() != []:
                    raise ValueError
                yield name, []
            else:
                text.value()
            if text.take(b",}") == b"}":
                break
        text.end()


class _Text:
    """A file of which a part is held: what was read of it and not taken yet."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.held = b""
        self.at = 0

    def more(self) -> bool:
        """Read on; False at the end of the file."""
        rest = self.held[self.at :]
        if len(rest) > _LONGEST:
            raise ValueError
        # Twice as much each time: a long value is tried again from its beginning.
        new = self.file.read(max(_PIECE, len(rest)))
        self.held, self.at = rest + new, 0
        return bool(new)

    def next(self) -> bytes:
        """Return the next byte that is no space, without taking it; nothing at the end of the file."""
        while True:
            found = _SPACE.match(self.held, self.at)
            self.at = found.end() if found else self.at
            if self.at < len(self.held) or not self.more():
                return self.held[self.at : self.at + 1]

    def take(self, signs: bytes) -> bytes:
        """Take the next byte, one of several signs."""
        sign = self.next()
        if not sign or sign not in signs:
            raise ValueError
        self.at += 1
        return sign

    def end(self) -> None:
        """Check that nothing follows."""
        if self.next():
            raise ValueError

    def value(self) -> Any:
        """Take a value of any kind."""
        self.next()
        while True:
            # The last character that is held may be cut.
            text = codecs.getincrementaldecoder("utf-8")().decode(self.held[self.at :])
            try:
                value, end = json.JSONDecoder().raw_decode(text)
                # Of a number, what is not held yet may belong to it.
                if text[end : end + 1] in _BEHIND_A_VALUE:
                    self.at += len(text[:end].encode())
                    return value
            except RecursionError as error:
                raise ValueError from error
            except ValueError:
                pass
            if not self.more():
                raise ValueError

    def begins_records(self) -> bool:
        """Take the beginning of a list whose first value is an object; leave anything else."""
        if self.next() != b"[":
            return False
        begin = _BEGIN.match(self.held, self.at)
        # What comes behind the bracket may not be held yet.
        while begin is None and not self.held[self.at + 1 :].strip(_SPACES) and self.more():
            begin = _BEGIN.match(self.held, self.at)
        if begin is None:
            return False
        self.at = begin.end()
        return True

    def records(self, parse: _Parse) -> Iterator[list[dict[str, Any]]]:
        """Take a list of records, piece by piece."""
        while True:
            text = self._whole_records()
            try:
                found: list[dict[str, Any]] = parse.validate_json(b"[%b]" % text)
            except ValidationError as error:
                raise ValueError from error
            yield found
            if self.take(b",]") == b"]":
                return
            if self.next() != b"{":
                raise ValueError

    def _whole_records(self) -> bytes:
        """Take about a piece of the records of a list, but one at least."""
        size = _PIECE
        while size <= _LONGEST:
            while len(self.held) - self.at < size and self.more():
                pass
            text = self.held[self.at : self.at + size]
            end = _end_of_records(text)
            if end:
                self.at += end
                return text[:end]
            if len(text) < size:
                break
            size *= 2
        raise ValueError


def _end_of_records(text: bytes) -> int:
    """Return where the last whole record of a list ends; 0 without any.

    Args:
        text: that begins with a record.
    """
    # Who reads a recipe or a report needs no numpy.
    import numpy as np

    # Brackets count outside of texts: behind an even number of quotes.
    plain = _ESCAPED.sub(b"  ", text)
    quotes = np.frombuffer(plain, np.uint8) == ord('"')
    in_text = np.bitwise_xor.accumulate(quotes)
    steps = np.frombuffer(plain.translate(_STEPS), np.int8) * ~in_text
    depth = np.cumsum(steps, dtype=np.int32)
    # Behind the end of the list other lists may follow.
    after = np.flatnonzero(depth < 0)
    within = int(after[0]) if len(after) else len(text)
    ends = np.flatnonzero((depth[:within] == 0) & (steps[:within] < 0))
    return int(ends[-1]) + 1 if len(ends) else 0


def _list_of(keys: Sequence[str]) -> SchemaValidator:
    """Return a parser of lists of objects that takes any values of some keys, and nothing besides."""
    values = {key: core_schema.typed_dict_field(core_schema.any_schema(), required=False) for key in keys}
    return SchemaValidator(core_schema.list_schema(core_schema.typed_dict_schema(values, extra_behavior="ignore")))
