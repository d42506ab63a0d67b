"""Kind of a picture file: mode, bits a channel, EXIF orientation, frames and the range of its values."""

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from densekd.data.picture.decode import is_twelve_bits
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
# What fills less than this share of its range is almost black.
_DARK = 1 / 16


class PictureKind(NamedTuple):
    """What a picture file is.

    Args:
        mode: in words: RGB, gray, palette, ...
        bits: a channel.
        orientation: EXIF orientation, 1 to 8.
        frames: of an animation, or pages; 1 for a plain picture.
        stored: (height, width) of its pixels before they are turned.
        transparent: share of the pixels that are fully transparent.
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


def picture_kind(content: bytes, pixels: np.ndarray | None) -> PictureKind:
    """Look what a picture file is.

    Args:
        content: of the file.
        pixels: as they were decoded, uint8 RGB; None: nothing is said of values.

    Raises:
        OSError, SyntaxError, ValueError: no picture.
    """
    with opened(content) as picture:
        orientation = orientation_of(picture)
        stored = (picture.height, picture.width)
        # Of a TIFF Pillow says the size after its turn.
        if picture.format == "TIFF":
            stored = shown_from_stored(stored, orientation)
        bits = _bits(picture, content)
        frames = 1
        # Photographs of phones have further pictures inside, which are no frames.
        if picture.format != "MPO":
            frames = int(getattr(picture, "n_frames", 1))
        mode = _MODES.get(picture.mode, "gray" if picture.mode.startswith("I") else picture.mode)
        kind = PictureKind(mode, bits, orientation, frames, stored)
        if pixels is None or not pixels.size:
            return kind
        values = _values(picture, content, bits, pixels)
        return kind._replace(transparent=_transparent(picture), values=values)


def remarks(kind: PictureKind, size: Size) -> list[str]:
    """Remark on what is odd about a picture and its reading.

    Args:
        kind: of its file.
        size: (height, width) as it was read.
    """
    found = _turn(kind, size)
    if kind.frames > 1:
        found.append(f"it has {kind.frames} frames or pages, of which the first is read")
    if kind.transparent:
        found.append(f"{100 * kind.transparent:.1f} % of its pixels are transparent, and their stored colors are read")
    if kind.values is not None and kind.bits > 8 and kind.values[1] <= _DARK * kind.white:
        found.append(
            f"its values reach {kind.values[1]:g} of {kind.white:g}, so that it is almost black, as in a viewer; if "
            "they have fewer bits, scale them up"
        )
    return found


def _turn(kind: PictureKind, size: Size) -> list[str]:
    """Say whether an EXIF orientation was applied, and why."""
    if kind.orientation == 1:
        return []
    shown = shown_from_stored(kind.stored, kind.orientation)
    if shown == kind.stored:
        doubt = "nothing tells whether its label or boxes were made so"
        return [f"EXIF orientation {kind.orientation}: turned as viewers show it; {doubt}"]
    if size == kind.stored:
        return [f"EXIF orientation {kind.orientation} is not applied: its label or boxes fit the stored pixels"]
    return [f"EXIF orientation {kind.orientation}: turned as viewers show it"]


def _bits(picture: Image.Image, content: bytes) -> int:
    """Return the bits a channel that the file has."""
    if picture.mode == "1":
        return 1
    if picture.format == "PNG" and picture.mode != "P":
        return content[_PNG_BITS]
    if is_twelve_bits(picture):
        return 12
    if picture.mode.startswith("I;16"):
        return 16
    if picture.mode in ("I", "F"):
        return 32
    tags = getattr(picture, "tag_v2", {})
    return int(max(tags.get(258, (8,)))) if picture.mode != "P" else 8


def _values(picture: Image.Image, content: bytes, bits: int, pixels: np.ndarray) -> tuple[float, float]:
    """Return the least and greatest value as the file stores them."""
    values = pixels
    if (bits in (12, 16) and picture.mode.startswith("I;16")) or bits == 32:
        values = np.asarray(picture)
    elif bits == 16 and picture.format == "PNG" and picture.mode == "RGB":
        encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        values = decode_image(encoded, ImageReadMode.RGB).numpy()
    elif bits == 16:
        # Only the high byte of each value is known here.
        return float(pixels.min()) * 256, float(pixels.max()) * 257
    elif bits < 8:
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
