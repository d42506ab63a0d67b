"""Checksums: every flipped bit, cut and foreign content is noticed; sound files are read as before."""

from pathlib import Path

import pytest
import torch

from densekd.seal import damage_of, seal


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


def test_archives_that_were_written_without_checksums_pass(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"weight": torch.arange(50.0)}, tmp_path / "foreign.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert damage_of(tmp_path / "foreign.pth") is None
