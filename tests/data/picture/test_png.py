"""PNG files with changed bytes are refused, as viewers refuse them, and not read with other pixels."""

import io

import numpy as np
import pytest
from PIL import Image

from densekd.data.picture import UNREADABLE, decode_picture, opened
from densekd.data.picture.png import require_png_checksums


@pytest.fixture(scope="module")
def png() -> bytes:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 4, (20, 30), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_no_flipped_bit_gives_other_pixels(png: bytes) -> None:
    sound = decode_picture(png)
    for place in range(len(png)):
        damaged = bytearray(png)
        damaged[place] ^= 1 << (place % 8)
        try:
            with opened(bytes(damaged)) as picture:
                label = np.array(picture)
            assert np.array_equal(label, sound[..., 0])
            assert np.array_equal(decode_picture(bytes(damaged)), sound)
        except UNREADABLE:
            continue


def test_the_part_is_named(png: bytes) -> None:
    damaged = bytearray(png)
    damaged[png.index(b"IDAT") + 9] ^= 4
    with pytest.raises(ValueError, match="the checksum of its part IDAT does not match"):
        require_png_checksums(bytes(damaged))
    require_png_checksums(png)
    # Cut off, and no PNG at all: the decoder says so.
    require_png_checksums(png[:-20])
    require_png_checksums(b"something else")
