"""Pictures of any origin become one kind of array."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from densekd.api.images import as_array, is_batch
from densekd.errors import UserError

# Wider than high, so that a turn shows.
PIXELS = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
ORIENTATION = 0x0112


@pytest.mark.parametrize("kind", ["png", "pillow", "array", "tensor", "float"])
def test_one_picture(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    sources = {
        "png": path,
        "pillow": Image.fromarray(PIXELS),
        "array": PIXELS,
        "tensor": torch.from_numpy(PIXELS).permute(2, 0, 1),
        "float": PIXELS.astype(np.float32) / 255,
    }
    found = as_array(sources[kind])
    assert found.dtype == np.uint8
    assert np.array_equal(found, PIXELS)
    assert not is_batch(sources[kind])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_turned_as_viewers_show_it(orientation: int, tmp_path: Path) -> None:
    shown = Image.fromarray(PIXELS)
    turns = {
        2: [Image.Transpose.FLIP_LEFT_RIGHT], 3: [Image.Transpose.ROTATE_180], 4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE], 6: [Image.Transpose.ROTATE_90], 7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }  # fmt: skip
    stored = shown
    for turn in turns.get(orientation, []):
        stored = stored.transpose(turn)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored.save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(as_array(tmp_path / "a.png"), PIXELS)
    with Image.open(tmp_path / "a.png") as opened:
        assert np.array_equal(as_array(opened), PIXELS)


def test_gray_and_sixteen_bits(tmp_path: Path) -> None:
    gray = PIXELS[..., 0]
    assert np.array_equal(as_array(gray), gray[..., None].repeat(3, 2))
    Image.fromarray(gray.astype(np.uint16) << 8).save(tmp_path / "deep.png")
    assert np.array_equal(as_array(str(tmp_path / "deep.png")), gray[..., None].repeat(3, 2))


def test_several_pictures() -> None:
    assert is_batch([PIXELS, PIXELS])
    assert is_batch(PIXELS[None])
    assert is_batch(torch.zeros(2, 3, 4, 4))
    assert is_batch(path for path in [Path("a.png")])


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (Path("nowhere.png"), r"nowhere\.png: the image cannot be read"),
        (torch.zeros(4, 4, 3), r"An image tensor is \[3, H, W\], RGB; this one is \[4, 4, 3\]"),
        (np.zeros((3, 4, 4), np.uint8), r"An image array is \[H, W, 3\]"),
        (PIXELS.astype(np.int64), "uint8, or float in"),
        (PIXELS.astype(np.float32), "uint8, or float in"),
        (3, "not a int"),
    ],
)
def test_what_is_no_picture(source: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        as_array(source)


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_deep_pictures_of_pillow_are_scaled(mode: str) -> None:
    gray = PIXELS[..., 0]
    deep = {"I;16": gray.astype(np.uint16) << 8, "F": gray.astype(np.float32) / 255}
    assert np.array_equal(as_array(Image.fromarray(deep[mode])), gray[..., None].repeat(3, 2))


def test_half_precision_is_a_picture() -> None:
    picture = torch.from_numpy(PIXELS // 255).permute(2, 0, 1).bfloat16()
    assert np.array_equal(as_array(picture), PIXELS // 255 * 255)


def test_what_has_no_pixels_or_no_numbers_is_refused() -> None:
    with pytest.raises(UserError, match="has pixels"):
        as_array(PIXELS[:0])
    with pytest.raises(UserError, match="float in"):
        as_array(np.full((2, 2, 3), np.nan))
    with pytest.raises(UserError, match="float in"):
        as_array(Image.fromarray(PIXELS[..., 0].astype(np.int32)))


def test_memory_of_others_is_not_written() -> None:
    pixels = np.full((2, 2, 3), 7, np.uint8)
    pixels.flags.writeable = False
    read = as_array(pixels)
    assert read.flags.writeable
    assert np.array_equal(read, pixels)
    # What may be written is not copied.
    own = np.zeros((2, 2, 3), np.uint8)
    assert as_array(own) is own


def test_bands_in_memory(tmp_path: Path) -> None:
    gray = PIXELS[..., 0]
    path = tmp_path / "a.png"
    Image.fromarray(gray).save(path)
    for source in (path, Image.fromarray(gray), gray, gray[..., None], torch.from_numpy(gray)[None]):
        assert np.array_equal(as_array(source, 1), gray[..., None])
    # Colors become their brightness, as those of a file do.
    colors = Image.fromarray(PIXELS)
    colors.save(path)
    assert np.abs(as_array(colors, 1).astype(int) - as_array(path, 1)).max() <= 1
    four = np.concatenate([PIXELS, PIXELS[..., :1]], 2)
    assert np.array_equal(as_array(Image.fromarray(four), 4), four)
    deep = as_array(four.astype(np.uint16) * 257, 4)
    assert np.allclose(deep, four / 255, atol=1e-6)
    with pytest.raises(UserError, match=r"\[H, W, 4\], and this array is \[4, 6, 3\]"):
        as_array(PIXELS, 4)
