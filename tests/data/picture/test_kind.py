"""Depth, mode, orientation, frames and values of a picture file."""

import io

import numpy as np
import pytest
from picture_files import encoded, png, tiff, with_orientation
from PIL import Image

from densekd.data.picture import decode_picture, header_kind, picture_kind

DEEP = np.arange(100, 1300, 20, dtype=np.uint16).reshape(4, 5, 3)
GRAY = DEEP[..., 0]
FLOATS = np.array([[0.25, 0.75]], np.float32)


@pytest.mark.parametrize(
    ("content", "name", "values"),
    [
        (png(GRAY % 2, 1, 0), "black and white, 1 bit", (0, 0)),
        (png(GRAY // 20 % 4, 2, 0), "gray, 2 bits", (0, 3)),
        (png(GRAY % 256, 8, 0), "gray, 8 bits", (8, 248)),
        (png(GRAY, 16, 0), "gray, 16 bits", (100, 1240)),
        (tiff(GRAY, 12), "gray, 12 bits", (100, 1240)),
        (png(DEEP, 16, 2), "RGB, 16 bits", (100, 1280)),
        (tiff(FLOATS, 32, numbers=3), "gray floats, 32 bits", (0.25, 0.75)),
        (png(GRAY % 2, 1, 3, (b"PLTE", bytes((9, 8, 7, 30, 20, 10)))), "palette, 1 bit", (7, 9)),
        (encoded(Image.new("CMYK", (4, 4)), "TIFF"), "CMYK, 8 bits", (255, 255)),
        (encoded(Image.new("LA", (4, 4)), "PNG"), "gray with alpha, 8 bits", (0, 0)),
    ],
)
def test_mode_depth_and_values(content: bytes, name: str, values: tuple[float, float]) -> None:
    kind = picture_kind(content, decode_picture(content))
    assert str(kind) == name
    assert kind.values == values
    assert header_kind(io.BytesIO(content)) == kind._replace(values=None, transparent=0.0)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG"])
def test_orientation_and_stored_size(kind: str) -> None:
    content = with_orientation(Image.new("RGB", (6, 4)), kind, 8)
    found = header_kind(io.BytesIO(content))
    assert (found.orientation, found.stored, found.frames) == (8, (4, 6), 1)


def test_frames_and_transparency() -> None:
    image = Image.new("RGBA", (4, 4), (9, 9, 9, 255))
    image.putpixel((0, 0), (9, 9, 9, 0))
    content = encoded(image, "PNG")
    assert picture_kind(content, decode_picture(content)).transparent == 1 / 16
    animation = encoded(Image.new("L", (4, 4)), "TIFF", save_all=True, append_images=[Image.new("L", (4, 4), 1)])
    assert header_kind(io.BytesIO(animation)).frames == 2
