"""What people should know of the pictures that a finished model is given."""

from pathlib import Path

import numpy as np
from picture_files import png, with_orientation
from PIL import Image

from densekd.data.classes import Classes
from densekd.data.files import SegmentationFiles
from densekd.data.found import Item
from densekd.data.picture_notes import notes_of_images, notes_of_pictures

PICTURE = Image.new("RGB", (6, 4))
CLASSES = Classes(("a", "b"), ((0, 0, 0), (1, 1, 1)))


def test_turned_and_dark_pictures_are_said_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.jpg").write_bytes(with_orientation(PICTURE, "JPEG", 6))
    (tmp_path / "c.png").write_bytes(png(np.full((4, 6), 1023, np.uint16), 16, 0))
    (tmp_path / "d.png").write_bytes(b"left to its reader")
    turned, dark = notes_of_images(sorted(tmp_path.iterdir()))
    first = tmp_path / "a.jpg"
    assert turned == f"EXIF orientation 6 (2 images): turned as viewers show them, the first: {first}"
    assert dark.startswith("1 image of 16 bits with values up to 1023 of 65535: almost black")


def test_the_label_tells_whether_a_picture_is_turned(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(with_orientation(PICTURE, "JPEG", 6))
    for size, expected in (((6, 4), "not turned: their labels"), ((4, 6), "turned as viewers show them, the first")):
        Image.new("L", size).save(tmp_path / "label.png")
        files = SegmentationFiles(CLASSES, (Item("a", tmp_path / "a.jpg", tmp_path / "label.png"),))
        [note] = notes_of_pictures(files)
        assert expected in note


def test_plain_pictures_need_no_note(tmp_path: Path) -> None:
    PICTURE.save(tmp_path / "a.png")
    assert notes_of_images([tmp_path / "a.png"]) == []
