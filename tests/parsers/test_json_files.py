"""JSON: depth, size, doubled keys and numbers that are none."""

import json
import tracemalloc
from pathlib import Path

import pytest

from densekd.errors import UserError
from densekd.parsers import json_files, load_json, parse_json, read_json


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


def test_what_the_memory_does_not_hold_is_refused_before_it_is_parsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"
    # Three bytes a list, which Python makes 64 of.
    path.write_bytes(b"[" + b"[]," * 2_000_000 + b"[]]")
    monkeypatch.setattr(json_files, "available_memory", lambda: 200_000_000)
    with pytest.raises(ValueError, match=r"takes about 0\.2 GB of memory, and 0\.2 GB are available; divide it"):
        load_json(path)
    # A file of no content is as large as it says.
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ValueError, match=r"takes about 2199\.0 GB of memory"):
        load_json(path)


def test_the_estimate_is_near_what_python_takes() -> None:
    record = {"id": 123456, "image_id": 391895, "bbox": [359.17, 146.17, 112.45, 213.57], "iscrowd": 0}
    record |= {"segmentation": [[360.25 + k / 7 for k in range(40)]], "area": 12190.44, "category_id": 4}
    content = json.dumps([record] * 2000).encode()
    tracemalloc.start()
    parse_json(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.6 < peak / json_files.memory_of(content) < 1.4
