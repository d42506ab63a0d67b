"""All eight EXIF orientations, and labels and boxes made on the picture that was turned or on the stored one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from picture_files import ORIENTATION, SHOWN, with_orientation
from PIL import Image, ImageOps

from densekd.data.classes import Classes
from densekd.data.depth import DepthFiles, write_depth
from densekd.data.files import SegmentationFiles, image_size, read_image
from densekd.data.found import Item
from densekd.data.picture import as_shown, decode_picture, opened, shown_size
from densekd.data.picture.turn import orientation_of, turned
from densekd.data.yolo import yolo
from densekd.errors import UserError

STORED = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
SQUARE = STORED[:, :4]
LOSSLESS: list[tuple[str, dict[str, Any]]] = [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True})]
CLASSES = Classes(("road", "car"), ((0, 0, 0), (1, 1, 1)))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_a_picture_is_turned_as_viewers_show_it(kind: str, options: dict[str, Any], orientation: int) -> None:
    content = with_orientation(Image.fromarray(STORED), kind, orientation, **options)
    shown = SHOWN[orientation](STORED)
    assert np.array_equal(decode_picture(content), shown)
    assert np.array_equal(turned(STORED, orientation), shown)
    with opened(content) as picture:
        assert shown_size(picture) == shown.shape[:2]
        assert np.array_equal(as_shown(picture), shown)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_is_turned_as_pillow_turns_it(orientation: int, tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(with_orientation(Image.fromarray(STORED), "JPEG", orientation))
    expected = np.array(ImageOps.exif_transpose(Image.open(path)))
    assert np.array_equal(read_image(path), expected)
    assert image_size(path) == expected.shape[:2]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "options"), LOSSLESS)
def test_what_fits_the_stored_pixels_alone_leaves_them(kind: str, options: dict[str, Any], orientation: int) -> None:
    content = with_orientation(Image.fromarray(STORED), kind, orientation, **options)
    sideways = orientation >= 5
    expected = STORED if sideways else SHOWN[orientation](STORED)
    assert np.array_equal(decode_picture(content, (4, 6)), expected)
    # What fits the turned picture, or nothing, turns it.
    assert np.array_equal(decode_picture(content, (6, 4)), SHOWN[orientation](STORED))
    assert np.array_equal(decode_picture(content, (9, 9)), SHOWN[orientation](STORED))


def write_pair(folder: Path, orientation: int, pixels: np.ndarray, label: np.ndarray) -> SegmentationFiles:
    image, path = folder / "a.png", folder / "a_label.png"
    image.write_bytes(with_orientation(Image.fromarray(pixels), "PNG", orientation))
    Image.fromarray(label).save(path)
    return SegmentationFiles(CLASSES, (Item("a", image, path),))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("made_on", ["shown", "stored"])
def test_a_label_lies_on_the_pixels_that_it_was_made_on(tmp_path: Path, orientation: int, made_on: str) -> None:
    # What is red is class 1.
    red = np.where(STORED[..., :1] > 128, np.uint8([255, 0, 0]), np.uint8([0, 0, 0]))
    label = (red[..., 0] > 0).astype(np.uint8)
    if made_on == "shown":
        label = np.ascontiguousarray(SHOWN[orientation](label))
    image, read = write_pair(tmp_path, orientation, red, label).pair(0)
    # Of a mirrored picture the size does not tell: it is read as the field's tools do, as shown.
    if made_on == "shown" or orientation == 1 or orientation >= 5:
        assert np.array_equal(image[..., 0] > 0, read == 1)
    else:
        assert np.array_equal(image, SHOWN[orientation](red))


def test_a_square_is_turned(tmp_path: Path) -> None:
    label = np.zeros((4, 4), np.uint8)
    image, _ = write_pair(tmp_path, 6, SQUARE, label).pair(0)
    assert np.array_equal(image, SHOWN[6](SQUARE))


def test_a_label_with_an_orientation_is_turned_too(tmp_path: Path) -> None:
    label = (STORED[..., 0] > 128).astype(np.uint8)
    files = write_pair(tmp_path, 8, STORED, label)
    (tmp_path / "a_label.png").write_bytes(with_orientation(Image.fromarray(label), "PNG", 8))
    image, read = files.pair(0)
    assert np.array_equal(read, SHOWN[8](label))
    assert np.array_equal(image, SHOWN[8](STORED))


def test_a_label_of_neither_size_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.png is 4 x 6 pixels, but its label .* is 5 x 5"):
        write_pair(tmp_path, 6, STORED, np.zeros((5, 5), np.uint8)).pair(0)


@pytest.mark.parametrize("made_on", ["shown", "stored"])
def test_a_depth_map_lies_on_the_pixels_that_it_was_made_on(tmp_path: Path, made_on: str) -> None:
    depth = STORED[..., 0].astype(np.uint16) + 1
    expected = STORED
    if made_on == "shown":
        depth, expected = np.ascontiguousarray(SHOWN[6](depth)), SHOWN[6](STORED)
    (tmp_path / "a.png").write_bytes(with_orientation(Image.fromarray(STORED), "PNG", 6))
    write_depth(depth, tmp_path / "depth.png")
    files = DepthFiles((Item("a", tmp_path / "a.png", tmp_path / "depth.png"),), 1.0)
    image, read = files.pair(0)
    assert np.array_equal(image, expected)
    assert read.shape == expected.shape[:2]


def test_boxes_of_yolo_lie_on_the_picture_that_is_shown(tmp_path: Path) -> None:
    shown = np.zeros((20, 40, 3), np.uint8)
    shown[5:10, 20:32, 0] = 255
    stored = np.ascontiguousarray(np.rot90(shown))
    for kind in ("images", "labels"):
        (tmp_path / kind / "train").mkdir(parents=True)
    (tmp_path / "images/train/a.png").write_bytes(with_orientation(Image.fromarray(stored), "PNG", 6))
    (tmp_path / "labels/train/a.txt").write_text(f"0 {26 / 40} {7.5 / 20} {12 / 40} {5 / 20}\n")
    (tmp_path / "data.yaml").write_text("path: .\ntrain: images/train\nnames: [thing]\n")
    files = yolo(tmp_path, "train")
    assert files.items[0].size == (20, 40)
    x1, y1, x2, y2 = files.items[0].truth.boxes[0].round().astype(int)
    image = files.image(0)
    assert (image[y1:y2, x1:x2, 0] == 255).all()
    assert image[..., 0].sum() == 255 * 5 * 12


def test_damaged_exif_data_turns_nothing() -> None:
    for exif in (b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x09\0\0\0\0\0\0"):
        content = b"".join((b"\xff\xd8\xff\xe1", (len(exif) + 2).to_bytes(2, "big"), exif))
        plain = with_orientation(Image.fromarray(STORED), "JPEG", 1)
        # The segment of the plain file, behind the start of the image, is replaced.
        length = int.from_bytes(plain[4:6], "big")
        behind = plain[2:] if plain[3] != 0xE1 else plain[4 + length :]
        with opened(content + behind) as picture:
            assert orientation_of(picture) == 1


def test_a_plain_png_is_not_decoded_to_look_for_an_orientation() -> None:
    content = with_orientation(Image.fromarray(STORED), "PNG", 6)
    assert ORIENTATION.to_bytes(2, "big") in content or ORIENTATION.to_bytes(2, "little") in content
    # EXIF data behind the pixels is not looked for, as by viewers.
    with opened(content) as picture:
        assert orientation_of(picture) == 6
