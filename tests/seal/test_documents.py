"""Checksums of JSON files: what was changed is named, what has none is read as it is."""

import json
from pathlib import Path

import pytest

from densekd.errors import UserError
from densekd.seal import read_document, require_unchanged, sealed, write_document

CONTENT = {"format": 1, "classes": ["road", "car"], "resize": (64, 96), "options": {"width": 0.25, "name": None}}
READ = json.loads(json.dumps(CONTENT))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_document(tmp_path / "a.json", CONTENT)
    assert read_document(tmp_path / "a.json") == READ
    line = (tmp_path / "a.json").read_text().splitlines()[-2]
    # CRC-32 of "1".
    assert line.startswith(' "checksums": "format:83dcefb7 classes:')


def test_a_changed_entry_is_named_and_how_to_go_on(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_document(path, CONTENT)
    path.write_text(path.read_text().replace("road", "rope"))
    message = r"a\.json: not what was written, 'classes' was.* remove its line \"checksums\""
    with pytest.raises(UserError, match=message) as caught:
        read_document(path, "Or make it anew.")
    assert str(caught.value).endswith("Or make it anew.")
    # As the message says.
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:-3], lines[-3].rstrip(","), lines[-1]]))
    assert read_document(path) == READ | {"classes": ["rope", "car"]}


def test_entries_that_came_and_went_are_named() -> None:
    content = sealed(CONTENT)
    del content["resize"]
    content["crop"] = 3
    with pytest.raises(UserError, match="'resize', 'crop' was changed"):
        require_unchanged(content, "a.json")


def test_no_flipped_bit_gives_other_content(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_document(path, CONTENT)
    sound = path.read_bytes()
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << (place % 7)
        path.write_bytes(bytes(damaged))
        try:
            content = read_document(path)
        except UserError:
            continue
        # Without the name of its checksums it is a file that has none.
        assert {key: content[key] for key in READ} == READ


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"hello", b"\xff\xfe", b"[" * 100_000])
def test_other_content_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json"):
        read_document(tmp_path / "a.json")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="it is a folder, not a file"):
        read_document(tmp_path)
