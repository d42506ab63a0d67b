"""Kind of a picture file: mode, bits a channel, EXIF orientation, frames and the range of its values."""

from typing import BinaryIO, NamedTuple

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from densekd.data.picture.decode import is_deep, is_twelve_bits
from densekd.data.picture.opened import opened
from densekd.data.picture.turn import Size, orientation_of, shown_from_stored

_MODES = {
    "1": "black and white",
    "L": "gray",
    "LA": "gray with alpha",
    "La": "gray with alpha",
    "P": "palette",
    "PA": "palette with alpha",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGB with alpha",
    "RGBa": "RGB with alpha",
    "CMYK": "CMYK",
    "YCbCr": "YCbCr",
    "F": "gray floats",
}
_WITH_ALPHA = ("LA", "La", "PA", "RGBA", "RGBa")
# Where a PNG says its bits a channel.
_PNG_BITS = 24
_TIFF_BITS = 258
_PNG_HEADER = 25


class PictureKind(NamedTuple):
    """What a picture file is.

    Args:
        mode: in words: RGB, gray, palette, ...
        bits: a channel.
        orientation: EXIF orientation, 1 to 8.
        frames: of an animation, or pages; 1 for a plain picture.
        stored: (height, width) of its pixels before they are turned.
        transparent: share of the pixels that are fully transparent; 0 where they were not looked at.
        values: least and greatest value as stored, or None where they were not looked at.
    """

    mode: str
    bits: int
    orientation: int
    frames: int
    stored: Size
    transparent: float = 0.0
    values: tuple[float, float] | None = None

    def __str__(self) -> str:
        """Describe mode and depth."""
        return f"{self.mode}, {self.bits} bit{'s' * (self.bits > 1)}"

    @property
    def white(self) -> float:
        """The value of white."""
        return 1.0 if self.mode == "gray floats" else 2.0**self.bits - 1


def picture_kind(content: bytes, pixels: np.ndarray) -> PictureKind:
    """Look what a picture file is, and what values it has.

    Args:
        content: of the file.
        pixels: as they were decoded, uint8 RGB.

    Raises:
        OSError, SyntaxError, ValueError: no picture.
    """
    with opened(content) as picture:
        kind = _kind(picture, content)
        if not pixels.size:
            return kind
        values = _values(picture, content, kind.bits, pixels)
        return kind._replace(transparent=_transparent(picture), values=values)


def header_kind(stream: BinaryIO) -> PictureKind:
    """Look what a picture file is by its header alone; nothing is known of its values.

    Raises:
        OSError, SyntaxError, ValueError: no picture.
    """
    beginning = stream.read(_PNG_HEADER)
    stream.seek(0)
    with opened(stream) as picture:
        return _kind(picture, beginning)


def _kind(picture: Image.Image, beginning: bytes) -> PictureKind:
    """Describe an opened picture; the first bytes of its file say the depth of a PNG."""
    orientation = orientation_of(picture)
    stored = (picture.height, picture.width)
    # Of a TIFF Pillow says the size after its turn.
    if picture.format == "TIFF":
        stored = shown_from_stored(stored, orientation)
    frames = 1
    # Photographs of phones have further pictures inside, which are no frames.
    if picture.format != "MPO":
        frames = int(getattr(picture, "n_frames", 1))
    mode = _MODES.get(picture.mode, "gray" if picture.mode.startswith("I") else picture.mode)
    return PictureKind(mode, _bits(picture, beginning), orientation, frames, stored)


def _bits(picture: Image.Image, beginning: bytes) -> int:
    """Return the bits a channel that the file has."""
    if picture.mode == "1":
        return 1
    if picture.format == "PNG":
        return beginning[_PNG_BITS]
    if is_twelve_bits(picture):
        return 12
    if is_deep(picture):
        return 16
    if picture.mode in ("I", "F"):
        return 32
    tags = getattr(picture, "tag_v2", {})
    return int(max(tags.get(_TIFF_BITS, (8,))))


def _values(picture: Image.Image, content: bytes, bits: int, pixels: np.ndarray) -> tuple[float, float]:
    """Return the least and greatest value as the file stores them; of a palette, of its colors."""
    values = pixels
    if is_deep(picture) or picture.mode == "F":
        values = np.asarray(picture)
    elif bits == 16 and picture.format == "PNG" and picture.mode == "RGB":
        encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        values = decode_image(encoded, ImageReadMode.RGB).numpy()
    elif bits == 16:
        # Only the high byte of each value is known here.
        return float(pixels.min()) * 256, float(pixels.max()) * 257
    elif bits < 8 and picture.mode != "P":
        factor = 255 // (2**bits - 1)
        return float(pixels.min() // factor), float(pixels.max() // factor)
    return float(values.min()), float(values.max())


def _transparent(picture: Image.Image) -> float:
    """Return the share of fully transparent pixels."""
    if picture.mode not in _WITH_ALPHA and "transparency" not in picture.info:
        return 0.0
    if picture.mode.startswith("I"):
        return 0.0
    alpha = picture.convert("RGBA").getchannel("A")
    return alpha.histogram()[0] / (alpha.width * alpha.height)
