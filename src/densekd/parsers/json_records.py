"""Chosen fields of the records of a large JSON file, a piece of the file at a time."""

import codecs
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from pydantic_core import SchemaValidator, ValidationError, core_schema

from densekd.parsers.files import require_file

# Bytes that are parsed at a time, and the longest record or other value.
_PIECE = 1 << 20
_LONGEST = 1 << 26
# Where a list of records begins, where one may end and the next begin, and where one or the list may end.
_BEGIN = re.compile(rb"\[\s*(?=\{)")
_BETWEEN = re.compile(rb"\}\s*,\s*(?=\{)")
_AFTER = re.compile(rb"\}\s*(?:,\s*(?=\{)|\])")
# Brackets of one record that are tried: lists of objects inside it look like its end.
_TRIES = 64
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
        new = self.file.read(_PIECE)
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
        while begin is None and not self.held[self.at + 1 :].strip() and self.more():
            begin = _BEGIN.match(self.held, self.at)
        if begin is None:
            return False
        self.at = begin.end()
        return True

    def records(self, parse: _Parse) -> Iterator[list[dict[str, Any]]]:
        """Take a list of records, piece by piece.

        A cut between two brackets may fall into a text or into a list inside a record. What is before it
        is then no list of whole records and does not parse: a piece that does ends where a record ends.
        """
        size = _PIECE
        last = False
        while not last:
            found = self._up_to(self._next(_BETWEEN, size), parse)
            if found is None and size > 0:
                # Mostly the list ends before the cut.
                size //= 2
                continue
            if found is None:
                found, last = self._one(parse)
            yield found

    def _one(self, parse: _Parse) -> tuple[list[dict[str, Any]], bool]:
        """Take one record, and the end of the list if it comes; True then."""
        skipped = 0
        for _ in range(_TRIES):
            bracket = self._next(_AFTER, skipped)
            if bracket is None:
                break
            skipped = bracket.end() - self.at
            found = self._up_to(bracket, parse)
            if found is not None:
                return found, bracket[0].endswith(b"]")
        raise ValueError

    def _next(self, pattern: re.Pattern[bytes], skipped: int) -> re.Match[bytes] | None:
        """Find a pattern behind so many bytes; None before the end of the file."""
        while True:
            found = pattern.search(self.held, self.at + skipped)
            if found is not None or not self.more():
                return found

    def _up_to(self, bracket: re.Match[bytes] | None, parse: _Parse) -> list[dict[str, Any]] | None:
        """Take what is held up to a bracket as records; None where it is no list of them."""
        if bracket is None:
            return None
        try:
            text = b"[%b]" % self.held[self.at : bracket.start() + 1]
            found: list[dict[str, Any]] = parse.validate_json(text)
        except ValidationError:
            return None
        self.at = bracket.end()
        return found


def _list_of(keys: Sequence[str]) -> SchemaValidator:
    """Return a parser of lists of objects that takes any values of some keys, and nothing besides."""
    values = {key: core_schema.typed_dict_field(core_schema.any_schema(), required=False) for key in keys}
    return SchemaValidator(core_schema.list_schema(core_schema.typed_dict_schema(values, extra_behavior="ignore")))
