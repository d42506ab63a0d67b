"""Pictures of bands: TIFF of any bands and depth, gray, alpha, what does not fit; what people are shown."""

import io
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from densekd.data.picture import WrongBandsError, as_bands, band_kind, band_size, decode_bands, shown_bands
from densekd.errors import UserError
from densekd.registry import optional_import

WHITE = {"uint8": 1, "uint16": 65535, "float32": 1, "int16": 32767}


def values(bands: int, kind: str = "uint8") -> np.ndarray:
    rng = np.random.default_rng(bands)
    if kind == "float32":
        return rng.random((6, 8, bands), dtype=np.float32)
    return rng.integers(0, 255 if kind == "uint8" else 9000, (6, 8, bands)).astype(kind)


def tiff(array: np.ndarray, **options: Any) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, photometric="minisblack", **options)
    return buffer.getvalue()


def saved(picture: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", WHITE)
@pytest.mark.parametrize("bands", [2, 3, 4, 5, 8])
@pytest.mark.parametrize("layout", ["contig", "separate"])
def test_bands_of_a_tiff_are_its_numbers(kind: str, bands: int, layout: str) -> None:
    array = values(bands, kind)
    content = tiff(array if layout == "contig" else np.moveaxis(array, -1, 0).copy(), planarconfig=layout)
    found = decode_bands(content, tuple(range(1, bands + 1)))
    assert found.dtype == (np.uint8 if kind == "uint8" else np.float32)
    np.testing.assert_allclose(found, array / WHITE[kind], atol=1e-6)
    assert band_size(content) == (6, 8)
    # A list chooses and orders; a number must be that of the file.
    chosen = decode_bands(content, (2, 1))
    np.testing.assert_array_equal(chosen, found[..., [1, 0]])
    if bands != 3:
        np.testing.assert_array_equal(decode_bands(content, bands), found)


@pytest.mark.parametrize("compression", ["zlib", "lzw"])
def test_compressed_tiff(compression: str) -> None:
    array = values(5, "uint16")
    found = decode_bands(tiff(array, planarconfig="contig", compression=compression), 5)
    np.testing.assert_allclose(found, array / 65535, atol=1e-6)


def test_sixteen_bits_keep_their_depth() -> None:
    deep = np.array([[0, 1, 256], [257, 40000, 65535]], np.uint16)
    found = decode_bands(saved(Image.fromarray(deep)), 1)
    np.testing.assert_allclose(found[..., 0] * 65535, deep, atol=0.01)


def test_gray_is_the_one_band_or_the_brightness() -> None:
    array = values(3)
    gray = decode_bands(saved(Image.fromarray(array)), 1)
    np.testing.assert_array_equal(gray[..., 0], (array @ np.array([0.299, 0.587, 0.114])).round())
    one = values(1)[..., 0]
    for kind in ("PNG", "TIFF", "BMP"):
        np.testing.assert_array_equal(decode_bands(saved(Image.fromarray(one), kind), 1)[..., 0], one)
    with pytest.raises(WrongBandsError, match=r"8 bands, which are no colors.*data\.bands: \[1\]"):
        decode_bands(tiff(values(8), planarconfig="contig"), 1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_alpha_is_the_fourth_band(kind: str) -> None:
    array = values(4)
    np.testing.assert_array_equal(decode_bands(saved(Image.fromarray(array), kind), 4), array)


def test_other_bands_than_the_file_has_are_refused() -> None:
    content = tiff(values(5), planarconfig="contig")
    with pytest.raises(WrongBandsError, match=r"it has 5 bands, and data\.bands is 4; write data\.bands: 5"):
        decode_bands(content, 4)
    with pytest.raises(WrongBandsError, match=r"it has 5 bands, and data\.bands asks for band 6"):
        decode_bands(content, (6, 1))


def test_numbers_below_zero_and_no_numbers_are_refused() -> None:
    negative = values(4, "int16") - np.int16(9999)
    with pytest.raises(ValueError, match="below zero"):
        decode_bands(tiff(negative, planarconfig="contig"), 4)
    broken = values(4, "float32")
    broken[0, 0, 0] = np.nan
    with pytest.raises(ValueError, match="1 of its 192 values are no numbers"):
        decode_bands(tiff(broken, planarconfig="contig"), 4)


def test_a_turned_tiff_is_shown_turned_unless_its_label_fits_the_stored_pixels() -> None:
    array = values(5)
    content = tiff(array, planarconfig="contig", extratags=[(274, "H", 1, 6, True)])
    np.testing.assert_array_equal(decode_bands(content, 5), np.rot90(array, -1))
    np.testing.assert_array_equal(decode_bands(content, 5, (6, 8)), array)
    assert band_size(content) == (8, 6)


def test_without_tifffile_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(module: str, extra: str) -> Any:
        return optional_import(f"{module}_that_is_not_there", extra)

    monkeypatch.setattr("densekd.data.picture.tiff.optional_import", missing)
    with pytest.raises(UserError, match=r"densekd\[tiff\]"):
        decode_bands(tiff(values(8), planarconfig="contig"), 8)
    # What Pillow reads as it is stored needs no other library.
    np.testing.assert_array_equal(decode_bands(saved(Image.fromarray(values(4)), "TIFF"), 4), values(4))


def test_arrays_in_memory() -> None:
    array = values(4, "uint16")
    np.testing.assert_allclose(as_bands(array, 4), array / 65535, atol=1e-6)
    assert as_bands(values(1)[..., 0], 1).shape == (6, 8, 1)
    with pytest.raises(WrongBandsError, match=r"\[H, W, 4\], and this array is \[6, 8, 3\]"):
        as_bands(values(3), 4)


def test_what_people_are_shown() -> None:
    eight = values(8)
    np.testing.assert_array_equal(shown_bands(eight), eight[..., :3])
    np.testing.assert_array_equal(shown_bands(values(1)), values(1).repeat(3, 2))
    # Dark deep bands are stretched.
    dark = values(4, "uint16") / np.float32(65535)
    shown = shown_bands(dark)
    assert (shown.dtype, shown.min(), shown.max()) == (np.uint8, 0, 255)


def test_the_kind_of_a_file_is_its_bands_depth_and_range() -> None:
    array = values(5, "uint16")
    content = tiff(array, planarconfig="contig")
    kind = band_kind(content, decode_bands(content, (1, 2)))
    assert str(kind) == "5 bands, 16 bits"
    assert kind.values == pytest.approx((array[..., :2].min(), array[..., :2].max()), abs=0.1)
