"""JSON: depth, size, doubled keys and numbers that are none."""

import json
from pathlib import Path

import pytest

from densekd.errors import UserError
from densekd.parsers import load_json, parse_json, read_json


def test_plain_files_and_marks(tmp_path: Path) -> None:
    content = {"a": [1, 2.5, None], "b": {"c": "[[[["}}
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "utf-32"):
        (tmp_path / "a.json").write_text(json.dumps(content), encoding=encoding)
        assert load_json(tmp_path / "a.json") == load_json(tmp_path / "a.json", small=True) == content


def test_brackets_in_texts_are_no_depth() -> None:
    text = json.dumps(["[" * 500, "}" * 20, '"[' * 300])
    assert parse_json(text.encode()) == json.loads(text)


@pytest.mark.parametrize("depth", [101, 900, 100_000])
def test_depth(depth: int) -> None:
    assert parse_json(b"[" * 100 + b"]" * 100)
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        parse_json(b"[" * depth + b"]" * depth)
    with pytest.raises(ValueError, match="nested more than 100 deep"):
        parse_json(b'{"a":' * depth + b"1" + b"}" * depth)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b'{"a": Infinity}', "Infinity is no number of JSON"),
        (b'{"a": [NaN]}', "NaN is no number of JSON"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' is there twice; keep one"),
        (b"[" + b"[]," * 1_000_000 + b"[]]", "it holds more than 1000000 values"),
        (b'{"a": ' + b"9" * 5000 + b"}", "4300 digits"),
        (b'{"a": "\xff"}', "not readable as text in UTF-8: byte 7, line 1"),
        (b"", "Expecting value"),
    ],
    ids=range(7),
)
def test_descriptions_are_strict(text: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_json(text, small=True)


def test_the_message_has_the_file_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.json: not readable as JSON \(.*No such file.*\)\. Restore it\."):
        read_json(tmp_path / "a.json", "Restore it.")
