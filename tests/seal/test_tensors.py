"""Checksum of a ``.safetensors`` file: no flipped bit and no cut gives other tensors."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from densekd.seal.tensors import CHECKSUM, damage_of_tensors, save_tensors

STATE = {"a.weight": torch.arange(12.0).view(3, 4), "b": torch.tensor(7), "empty": torch.zeros(0, 2)}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_tensors(STATE, tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def test_it_is_read_by_the_library(file: Path, tmp_path: Path) -> None:
    assert damage_of_tensors(file) is None
    loaded = load_file(file)
    assert all(torch.equal(loaded[key], STATE[key]) for key in STATE)
    # The same tensors are the same bytes.
    save_tensors(STATE, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == file.read_bytes()


def test_its_header_may_say_more(tmp_path: Path) -> None:
    save_tensors(STATE, tmp_path / "a.safetensors", {"format": "pt", "model": '"fpn"'})
    assert damage_of_tensors(tmp_path / "a.safetensors") is None
    with safe_open(tmp_path / "a.safetensors", "pt") as opened:
        header = opened.metadata()
    assert header.keys() == {"format", "model", CHECKSUM}
    assert header["model"] == '"fpn"'


def test_no_flipped_bit_is_missed(file: Path) -> None:
    sound = file.read_bytes()
    unnoticed = []
    for place in range(len(sound)):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << (place % 8)
        file.write_bytes(bytes(damaged))
        if damage_of_tensors(file) is None:
            unnoticed.append(place)
    # Only the name of the checksum; the tensors are as they were.
    name = sound.index(CHECKSUM.encode())
    assert set(unnoticed) <= set(range(name - 1, name + len(CHECKSUM) + 1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"\0" * 500, "does not begin with the header"),
        (b"hello, world" * 9, "does not begin with the header"),
        (b"\x08" + b"\0" * 7 + b"[1, 2, 3", "its header is malformed"),
    ],
)
def test_what_is_wrong_with_other_content(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    assert message in str(damage_of_tensors(file))


def test_a_foreign_file_must_be_as_long_as_its_header_says(tmp_path: Path) -> None:
    path = tmp_path / "foreign.safetensors"
    save_file(STATE, path)
    assert damage_of_tensors(path) is None
    whole = path.read_bytes()
    for content in (whole[:-1], whole + b"\0"):
        path.write_bytes(content)
        expected = f"its header describes {len(whole)} bytes, and the file has {len(content)}"
        assert damage_of_tensors(path) == expected
    path.unlink()
    path.mkdir()
    assert damage_of_tensors(path) == "a folder stands in its place"
