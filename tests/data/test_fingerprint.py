"""Fingerprint of a split: what a copy keeps, and which change is found by what."""

import os
import shutil
from pathlib import Path

import pytest

from densekd.data import fingerprint as module
from densekd.data.coco import coco
from densekd.data.fingerprint import Fingerprint, compare, fingerprint, from_plain, to_plain
from densekd.data.folder import folder


@pytest.fixture
def root(data_root: Path, tmp_path: Path) -> Path:
    return shutil.copytree(data_root, tmp_path / "data")


def look(root: Path) -> Fingerprint:
    return fingerprint(folder(root, "train"))


def write_later(path: Path, content: bytes) -> None:
    """Write a file of the same size, a second later."""
    time = path.stat().st_mtime_ns + 10**9
    assert len(content) == path.stat().st_size
    path.write_bytes(content)
    os.utime(path, ns=(time, time))


def flipped(path: Path) -> bytes:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


def test_a_copy_is_the_same(root: Path, data_root: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(data_root, copy, copy_function=shutil.copyfile)
    assert look(copy).digest == look(data_root).digest
    assert compare(look(data_root), look(copy)) == ((), None)


def test_plain_data_and_back(root: Path) -> None:
    import json

    assert from_plain(json.loads(json.dumps(to_plain(look(root))))) == look(root)


@pytest.mark.parametrize("kind", ["images", "labels"])
def test_one_bit_of_an_image_or_a_label_is_found(root: Path, kind: str) -> None:
    before = look(root)
    path = root / kind / "train" / "003.png"
    times = path.stat().st_mtime_ns
    path.write_bytes(flipped(path))
    # The time says nothing: contents are compared.
    os.utime(path, ns=(times, times))
    assert compare(before, look(root)).found == ("1 image is changed (003.png)",)
    assert before.digest != look(root).digest


def test_files_that_are_gone_and_new_are_named(root: Path) -> None:
    before = look(root)
    for kind in ("images", "labels"):
        (root / kind / "train" / "001.png").rename(root / kind / "train" / "x.png")
        (root / kind / "train" / "002.png").unlink()
    assert compare(before, look(root)).found == ("2 images are gone (001.png, 002.png)", "1 image is new (x.png)")


def test_of_what_was_not_read_sizes_and_times_tell(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Of six images the first and the fourth are read.
    monkeypatch.setattr(module, "_FILES", 4)
    before = look(root)
    assert [bool(one.content) for one in before.prints] == [True, False, False, True, False, False]
    path = root / "images" / "train" / "001.png"
    write_later(path, flipped(path))
    assert compare(before, look(root)).found == ("1 image is changed (001.png)",)
    # Where all have another time, they were copied, and that is said.
    for path in (root / "images" / "train").iterdir():
        write_later(path, path.read_bytes())
    difference = compare(before, look(root))
    assert difference.found == ()
    assert difference.remark is not None
    assert "4 images have other times and the same sizes" in difference.remark
    assert "2 others were compared" in difference.remark


def test_boxes_are_part_of_it(boxes_root: Path, tmp_path: Path) -> None:
    shutil.copytree(boxes_root, tmp_path / "boxes")
    before = fingerprint(coco(tmp_path / "boxes", "train"))
    assert compare(before, fingerprint(coco(boxes_root, "train"))).found == ()
    path = tmp_path / "boxes" / "instances_train.json"
    text = path.read_text()
    assert '"bbox": [' in text
    path.write_text(text.replace('"bbox": [', '"bbox": [1', 1))
    found = compare(before, fingerprint(coco(tmp_path / "boxes", "train"))).found
    assert len(found) == 1
    assert "1 image is changed" in found[0]
