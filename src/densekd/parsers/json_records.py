"""Chosen fields of the records of a large JSON file, without making objects of all the others."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic_core import SchemaValidator, core_schema

from densekd.parsers.files import read_bytes, require_file
from densekd.parsers.json_files import memory_of, require_memory


def load_records(path: Path, fields: Mapping[str, Sequence[str]], skip: str) -> dict[str, Any] | None:
    """Read an object of lists of records, as :func:`load_json` does, with some fields of each record alone.

    Args:
        path: of the file.
        fields: of the records of each list.
        skip: a field of numbers in lists of lists that is most of the file; it is cut out unread.

    Returns:
        The lists; None where the file is not what it should be, or too large: :func:`load_json` says why.
    """
    try:
        require_memory(2 * require_file(path))
        # The quotes around the name are those of a key: inside a text they would have a backslash.
        numbers = re.compile(rb'"%s":\s*\[\[[-+0-9eE.,\s\[\]]*\]\]' % skip.encode())
        content = numbers.sub(b'"":null', read_bytes(path))
        require_memory(memory_of(content))
        found: dict[str, Any] = _validator(fields).validate_json(content)
    except (OSError, ValueError):
        return None
    return found


def _validator(fields: Mapping[str, Sequence[str]]) -> SchemaValidator:
    """Return a reader of lists of objects that takes any values of the fields, and nothing besides."""
    lists = {}
    for name, keys in fields.items():
        record = _object({key: core_schema.any_schema() for key in keys})
        lists[name] = core_schema.list_schema(record)
    return SchemaValidator(_object(lists))


def _object(values: Mapping[str, Any]) -> core_schema.TypedDictSchema:
    keys = {key: core_schema.typed_dict_field(value, required=False) for key, value in values.items()}
    return core_schema.typed_dict_schema(keys, extra_behavior="ignore")
