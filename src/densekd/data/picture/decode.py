"""Decoding of picture files to uint8 RGB, as viewers show them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from densekd.data.picture.opened import opened
from densekd.data.picture.turn import Size, as_shown, is_turned, orientation_of, shown_from_stored, stored_tiff, turned

# Tags of TIFF.
_BITS, _PHOTOMETRIC, _BANDS, _EXTRA = 258, 262, 277, 338
_WHITE_IS_ZERO = 0
# What torchvision decodes; MPO is a JPEG with further pictures behind it.
_QUICK = ("JPEG", "MPO", "PNG")
_UNSPECIFIED = 0


def decode_picture(content: bytes, fits: Size | None = None) -> np.ndarray:
    """Decode a picture file to uint8 RGB ``[H, W, 3]``.

    Sixteen bits become eight by their high byte, as in OpenCV and Pillow; floats are 0 (black) to 1
    (white). Of transparent pixels the stored color counts, and of an animation the first frame.

    Args:
        content: of the file.
        fits: (height, width) of its label or annotations: where only the stored pixels have it, the
            EXIF orientation is not applied, see :func:`densekd.data.picture.turn.is_turned`.

    Raises:
        OSError, SyntaxError, ValueError: no picture, or a damaged one; the text says what it is.
    """
    with opened(content) as picture:
        orientation = orientation_of(picture)
        is_tiff = picture.format == "TIFF"
        pixels = _decode(picture, content)
    if orientation == 1:
        return pixels
    # Pillow has turned a TIFF already.
    if is_tiff:
        stored = shown_from_stored((pixels.shape[0], pixels.shape[1]), orientation)
        return pixels if is_turned(stored, orientation, fits) else stored_tiff(pixels, orientation)
    if is_turned((pixels.shape[0], pixels.shape[1]), orientation, fits):
        return turned(pixels, orientation)
    return pixels


def shown_size(picture: Image.Image) -> Size:
    """Return the (height, width) that viewers show of an opened picture; only its header is read."""
    size = (picture.height, picture.width)
    # Pillow says the turned size of a TIFF already.
    if picture.format == "TIFF":
        return size
    return shown_from_stored(size, orientation_of(picture))


def _decode(picture: Image.Image, content: bytes) -> np.ndarray:
    """Decode an opened file, by the quickest reader that gives the right pixels."""
    decoded = None
    if picture.format == "PPM":
        decoded = _uncompressed(picture, content)
    elif picture.format in _QUICK and picture.mode in ("RGB", "L"):
        decoded = _decode_quickly(content, ImageReadMode.RGB)
    return from_pillow(picture) if decoded is None else decoded


def decode_channel(picture: Image.Image, content: bytes) -> np.ndarray:
    """Decode an opened file to its values as they are, turned as viewers show them: ``[H, W]`` of one channel.

    Raises:
        OSError, SyntaxError, ValueError: as :func:`decode_picture`.
    """
    if picture.format == "PNG" and picture.mode == "L" and orientation_of(picture) == 1:
        decoded = _decode_quickly(content, ImageReadMode.UNCHANGED)
        # With transparency there are two channels.
        if decoded is not None and decoded.shape[2] == 1:
            return decoded[..., 0]
    return np.array(as_shown(picture))


def _uncompressed(picture: Image.Image, content: bytes) -> np.ndarray | None:
    """Return the pixels of a PPM of 8 bits, which lie in the file as they are; None of other files."""
    # Formats have it, a picture in general has not.
    tiles: Any = getattr(picture, "tile", ())
    decoder, offset = tiles[0][0], tiles[0][2]
    size = picture.height * picture.width * 3
    if decoder != "raw" or picture.mode != "RGB" or len(content) < offset + size:
        return None
    pixels = np.frombuffer(bytearray(memoryview(content)[offset : offset + size]), np.uint8)
    return pixels.reshape(picture.height, picture.width, 3)


def _decode_quickly(content: bytes, mode: ImageReadMode) -> np.ndarray | None:
    """Decode with torchvision, sooner than Pillow and to the same pixels.

    None for what torchvision refuses, so that Pillow gives the reason.
    """
    encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
    try:
        pixels = decode_image(encoded, mode)
    except RuntimeError:
        return None
    array: np.ndarray = pixels.permute(1, 2, 0).numpy()
    # torchvision keeps the 16 bits of a PNG.
    if array.dtype == np.uint16:
        return _high_byte(array, 16)
    return array


def from_pillow(picture: Image.Image) -> np.ndarray:
    """Return the pixels of a Pillow picture of any mode as uint8 RGB ``[H, W, 3]``.

    Raises:
        ValueError: numbers without a known white, or bands that are no colors.
    """
    mode = picture.mode
    _require_colors(picture)
    # Pillow clips deep pixels to 8 bits instead of scaling them.
    if is_deep(picture):
        return _gray(_deep(picture))
    if mode == "F":
        return _gray(_of_floats(np.asarray(picture)))
    if mode == "I":
        low, high = picture.getextrema()
        raise ValueError(
            f"its pixels are 32-bit or signed whole numbers, here from {low} to {high}, and which of them is white is "
            "not known; save it with 8 or 16 bits, or as float in [0, 1]"
        )
    if mode == "LAB":
        raise ValueError("its colors are CIELAB; convert it to RGB")
    picture.load()
    # The colors of a palette and of premultiplied pixels come with their transparency.
    if mode in ("P", "PA", "La", "RGBa"):
        picture = picture.convert("RGBA")
    return np.array(picture.convert("RGB"))


def is_deep(picture: Image.Image) -> bool:
    """Return True for one channel of 9 to 16 bits."""
    # Pillow brings deep NetPBM files to 16 bits, in whole numbers of 32.
    return picture.mode.startswith("I;16") or (picture.mode == "I" and picture.format == "PPM")


def _deep(picture: Image.Image) -> np.ndarray:
    """Scale one channel of 12 or 16 bits to 8."""
    tags = getattr(picture, "tag_v2", {})
    bits = 12 if is_twelve_bits(picture) else 16
    white_is_zero = tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO
    values = _high_byte(np.asarray(picture), bits)
    return 255 - values if white_is_zero else values


def is_twelve_bits(picture: Image.Image) -> bool:
    """Return True for a TIFF of 12 bits: Pillow reads numbers up to 4095, which is white."""
    tags = getattr(picture, "tag_v2", {})
    return tags.get(_BITS) == (12,)


def _high_byte(values: np.ndarray, bits: int) -> np.ndarray:
    array: np.ndarray = (values >> (bits - 8)).astype(np.uint8)
    return array


def _of_floats(values: np.ndarray) -> np.ndarray:
    """Scale floats from 0 to 1 to 8 bits."""
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise ValueError(f"{count} of its {values.size} pixels are no numbers (NaN or infinite); replace them")
    low, high = values.min(), values.max()
    if low < 0 or high > 1:
        raise ValueError(
            f"its pixels are floats from {low:g} to {high:g}, and as a picture floats are 0, black, to 1, white; "
            "scale them, or save it with 8 or 16 bits"
        )
    array: np.ndarray = (values * 255).round().astype(np.uint8)
    return array


def _gray(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, 2)


def _require_colors(picture: Image.Image) -> None:
    """Refuse a TIFF with a band that is neither color nor transparency, such as near infrared.

    Raises:
        ValueError: there is one.
    """
    tags = getattr(picture, "tag_v2", {})
    extra = tags.get(_EXTRA, ())
    if _UNSPECIFIED in extra:
        bands = tags.get(_BANDS)
        raise ValueError(
            f"it is a TIFF of {bands} bands, {len(extra)} of them neither color nor transparency (near infrared?); "
            f"as a picture it has one band or three: save those, or read all by data.bands: {bands} in the recipe"
        )


def bands_beyond_colors(path: Path) -> int | None:
    """Return how many bands a TIFF has of which one is neither color nor transparency; None of any other picture."""
    try:
        with Image.open(path, formats=("TIFF",)) as picture:
            tags = getattr(picture, "tag_v2", {})
            beyond = _UNSPECIFIED in tags.get(_EXTRA, ())
            return int(tags[_BANDS]) if beyond else None
    except (OSError, ValueError, KeyError, Image.DecompressionBombError):
        # What is wrong with a file is said where it is read.
        return None
