"""Checksums: every flipped bit, cut and foreign content is noticed; sound files are read as before."""

import json
from pathlib import Path

import pytest
import torch

from densekd.errors import UserError
from densekd.seal import damage_of, read_json, seal, unsealed, write_json


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "state.ckpt"
    torch.save({"weight": torch.arange(50.0), "step": 7}, path)
    return path


def test_a_sealed_archive_is_read_by_torch(archive: Path) -> None:
    assert damage_of(archive) is None  # without a checksum of ours, by those of zip
    seal(archive)
    assert damage_of(archive) is None
    content = torch.load(archive, weights_only=True)
    assert content["step"] == 7
    assert torch.equal(content["weight"], torch.arange(50.0))


def test_no_flipped_bit_gives_other_weights(archive: Path) -> None:
    seal(archive)
    sound = archive.read_bytes()
    unnoticed = []
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << (place % 8)
        archive.write_bytes(bytes(damaged))
        if damage_of(archive) is None:
            unnoticed.append(place)
    # Of the whole file only the name of the checksum may change: then zip's own checksums hold.
    name = sound.index(b"densekd-sha256:")
    assert set(unnoticed) <= set(range(name, name + len(b"densekd-sha256:")))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "it is empty"), (b"\0" * 5000, "no whole archive"), (b"hello, world" * 10, "no whole archive")],
    ids=["empty", "zeros", "text"],
)
def test_what_is_wrong_with_other_content(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "last.ckpt"
    path.write_bytes(content)
    assert message in str(damage_of(path))


@pytest.mark.parametrize("part", [0.1, 0.5, 0.98, 0.999])
def test_a_cut_archive(archive: Path, part: float) -> None:
    seal(archive)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * part)])
    assert damage_of(archive) is not None


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").mkdir()
    assert damage_of(tmp_path / "last.ckpt") == "a folder stands in its place"


def test_an_archive_is_sealed_once(archive: Path) -> None:
    seal(archive)
    with pytest.raises(ValueError, match="without a comment"):
        seal(archive)


def test_json_keeps_its_checksum_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    content = {"student": {"miou": 61.25}, "names": ["a", "é"]}
    write_json(path, content)
    assert read_json(path) == content
    # Spaces and order are no change.
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    assert read_json(path) == content


def test_changed_json_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    write_json(path, {"miou": 61.25})
    path.write_text(path.read_text().replace("61.25", "91.25"))
    with pytest.raises(UserError, match=r'checksum does not match.*remove the entry "checksum"'):
        read_json(path)
    assert unsealed({"miou": 1}, "x") == {"miou": 1}


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_what_is_no_json_object(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(UserError, match="JSON"):
        read_json(path)
