"""Checksums inside JSON files: one for each of their entries, so that a message can name what was changed."""

import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from densekd.atomic import write_text
from densekd.errors import UserError
from densekd.parsers import NotAFileError, load_json

KEY = "checksums"


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a JSON file with a line of checksums at its end: ``entry:crc32 entry:crc32``.

    Args:
        content: entries without spaces in their names.
    """
    # Through JSON and back, so that tuples and numbers are what a file makes of them.
    plain: dict[str, Any] = json.loads(json.dumps(content))
    return {**plain, KEY: " ".join(f"{entry}:{_checksum(value)}" for entry, value in plain.items())}


def write_document(path: Path, content: Mapping[str, Any], indent: int | None = 1) -> None:
    """Write a JSON file with its checksums, atomically."""
    write_text(path, json.dumps(sealed(content), indent=indent) + "\n")


def read_document(path: Path, advice: str = "") -> Any:
    """Read a JSON file, and compare its entries with their checksums, which are taken off.

    A file without them, of an earlier version or written by hand, is read as it is.

    Args:
        path: the file.
        advice: what to do where it is damaged; a sentence.

    Raises:
        UserError: it cannot be read, is no JSON, or is not what was written.
    """
    try:
        content = load_json(path)
    except NotAFileError as error:
        raise UserError(f"{path}: {error}. {advice}".rstrip()) from error
    except json.JSONDecodeError as error:
        raise UserError(f"{path}, line {error.lineno}: not valid JSON ({error.msg}). {advice}".rstrip()) from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({error}). {advice}".rstrip()) from error
    return require_unchanged(content, str(path), advice)


def require_unchanged(content: Any, where: str, advice: str = "") -> Any:
    """Return the content of a JSON file without its checksums.

    Args:
        content: as it was read; without checksums it is returned as it is.
        where: the file, for the message.
        advice: what to do where it is damaged; a sentence.

    Raises:
        UserError: an entry is not what was written; all of them are named.
    """
    if not isinstance(content, dict) or KEY not in content:
        return content
    entries = {key: value for key, value in content.items() if key != KEY}
    written = dict(one.rpartition(":")[::2] for one in str(content[KEY]).split(" "))
    here = {entry: _checksum(value) for entry, value in entries.items()}
    changed = [entry for entry in {**written, **here} if written.get(entry) != here.get(entry)]
    if changed:
        named = ", ".join(f"'{entry}'" for entry in changed)
        raise UserError(
            f"{where}: not what was written, {named} was changed since. Put back a copy; where it was edited on "
            f'purpose, remove its line "{KEY}" (and the comma before it). {advice}'.rstrip()
        )
    return entries


def _checksum(value: Any) -> str:
    return f"{zlib.crc32(json.dumps(value, sort_keys=True).encode()):08x}"
