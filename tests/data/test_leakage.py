"""Leakage between splits: found where it was made, and not where a split is honest."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from densekd.data import DATASETS
from densekd.data.leakage import find_leakage
from densekd.errors import UserError

CAMVID = os.environ.get("DENSEKD_CAMVID", "")
BCCD = os.environ.get("DENSEKD_BCCD", "")


class Item(NamedTuple):
    stem: str
    image: Path


def film(folder: Path, name: str, frames: int, seed: int) -> list[Item]:
    """Write frames of a camera that moves over a random landscape: neighbors overlap."""
    rng = np.random.default_rng(seed)
    landscape = Image.fromarray(rng.integers(0, 256, (12, 12 + frames), np.uint8)).resize((40 * (12 + frames), 240))
    items = []
    for k in range(frames):
        path = folder / f"{name}_{k:05}.png"
        landscape.crop((6 * k, 0, 6 * k + 320, 240)).save(path)
        items.append(Item(path.stem, path))
    return items


def photographs(folder: Path, name: str, count: int, seed: int) -> list[Item]:
    """Write pictures that have nothing to do with each other."""
    rng = np.random.default_rng(seed)
    items = []
    for k in range(count):
        path = folder / f"{name}_{k:05}.png"
        Image.fromarray(rng.integers(0, 256, (12, 16), np.uint8)).resize((160, 120)).save(path)
        items.append(Item(path.stem, path))
    return items


def test_frames_that_were_shuffled_are_neighbors(tmp_path: Path) -> None:
    frames = film(tmp_path, "drive", 60, 0)
    val = frames[::4]
    found = find_leakage([one for one in frames if one not in val], val)
    assert found.neighbors >= 12
    assert found.neighbor is not None
    assert abs(int(found.neighbor.train[-5:]) - int(found.neighbor.val[-5:])) == 1
    assert any("keep whole drives" in sentence for sentence in found.sentences)


def test_photographs_that_are_numbered_are_no_sequence(tmp_path: Path) -> None:
    pictures = photographs(tmp_path, "image", 60, 0)
    val = pictures[::4]
    assert find_leakage([one for one in pictures if one not in val], val).sentences == []


def test_several_kinds_in_proportion_are_no_sequences(tmp_path: Path) -> None:
    pictures = [*photographs(tmp_path, "2007", 40, 0), *photographs(tmp_path, "2008", 40, 1)]
    val = pictures[::4]
    assert find_leakage([one for one in pictures if one not in val], val).sentences == []


def test_a_part_of_a_drive_that_was_set_aside_is_named(tmp_path: Path) -> None:
    drives = {name: photographs(tmp_path, name, 40, k) for k, name in enumerate(("A", "B", "C"))}
    train = [*drives["A"], *drives["B"], *drives["C"][:20]]
    found = find_leakage(train, drives["C"][20:])
    assert found.sequences == {"C_": (20, 20)}
    # A whole drive that is held out is what should be.
    assert find_leakage([*drives["A"], *drives["B"]], drives["C"]).sentences == []


def test_copies_are_counted(tmp_path: Path) -> None:
    pictures = photographs(tmp_path, "image", 20, 0)
    copy = tmp_path / "other.jpg"
    Image.open(pictures[3].image).resize((320, 240)).save(copy, quality=80)
    blank = [Item(f"blank{k}", tmp_path / f"blank{k}.png") for k in range(2)]
    for one in blank:
        Image.new("L", (30, 30)).save(one.image)
    found = find_leakage([*pictures, blank[0]], [Item("other", copy), blank[1]])
    # Blank pictures say nothing.
    assert found.duplicates == 1
    assert found.duplicate == ("image_00003", "other")


def test_damaged_images_are_named_and_no_images_are_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    broken = Item("a", tmp_path / "a.png")
    with pytest.raises(UserError, match=r"a\.png: the image cannot be read"):
        find_leakage([broken], [broken])
    assert find_leakage([], [broken]).sentences == []


@pytest.mark.skipif(not CAMVID, reason="DENSEKD_CAMVID names no folder with the real CamVid")
def test_camvid_and_its_drives() -> None:
    train, val = (list(DATASETS["camvid"](Path(CAMVID), split).items) for split in ("train", "val"))
    assert find_leakage(train, val).sequences == {"0016E5_": (204, 101)}
    everything = [*train, *val]
    for drive in ("0006R0", "0016E5", "0001TP"):
        held = [item for item in everything if item.stem.startswith(drive)]
        assert find_leakage([item for item in everything if item not in held], held).sentences == []


@pytest.mark.skipif(not BCCD, reason="DENSEKD_BCCD names no folder with the real BCCD")
def test_bccd_is_honest() -> None:
    train, val = (DATASETS["coco"](Path(BCCD), split).items for split in ("train", "val"))
    assert find_leakage(train, val).sentences == []
