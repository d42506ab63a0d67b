"""Bands of TIFF files as they are stored: by Pillow where it knows them, else by ``tifffile``."""

import io
import math
import struct
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, TiffImagePlugin

from densekd.data.picture.decode import from_pillow, is_twelve_bits
from densekd.data.picture.limit import max_megapixels, require_size
from densekd.data.picture.opened import UNREADABLE, opened
from densekd.data.picture.turn import Size, is_turned, orientation_of, shown_from_stored, stored_tiff, turned
from densekd.registry import optional_import

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Modes of Pillow whose pixels are the stored ones.
PLAIN = ("L", "LA", "La", "RGB", "RGBA", "RGBa", "RGBX")

# Bands of the pictures that Pillow opens, at most.
_PILLOW = 4
# Bytes of pixels for each byte of a file, at most.
_DENSEST = 20
# What Pillow raises besides of tags that are damaged.
_DAMAGED = (TypeError, KeyError, IndexError, AttributeError, OverflowError, ZeroDivisionError, struct.error)
# Tags of TIFF.
_WIDTH, _HEIGHT = 256, 257
_SAMPLES, _ORIENTATION, _BITS, _PHOTOMETRIC = 277, 274, 258, 262
_WHITE_IS_ZERO = 0


class WrongBandsError(ValueError):
    """A picture that does not have the bands that are asked for."""


class Stored(NamedTuple):
    """Pixels as a file stores them.

    Args:
        pixels: ``[H, W, C]`` of the file's type, turned as viewers show them.
        bits: a band; 32 for floats.
    """

    pixels: np.ndarray
    bits: int


def band_size(content: bytes) -> Size | None:
    """Return the (height, width) that viewers show of a TIFF, None for anything else; its tags alone are read."""
    tags = _tiff_tags(content)
    if tags is None:
        return None
    return shown_from_stored((int(tags[_HEIGHT]), int(tags[_WIDTH])), int(tags.get(_ORIENTATION, 1)))


def tiff_bands(content: bytes, fits: Size | None) -> Stored:
    """Read the bands of a TIFF.

    Args:
        content: of the file.
        fits: (height, width) of its label, or None.

    Raises:
        WrongBandsError: more axes than those of a picture.
        UserError: ``tifffile`` is needed and not installed.
        OSError, SyntaxError, ValueError: a damaged file.
    """
    plain = _plain_tiff(content, fits)
    return _any_tiff(content, fits) if plain is None else plain


def three_axes(pixels: np.ndarray) -> np.ndarray:
    """Return ``[H, W, C]`` of ``[H, W]`` or ``[H, W, C]``."""
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _tiff_tags(content: bytes) -> Any:
    """Return the tags of a TIFF's first page; None for anything else."""
    if not content.startswith(TIFF[:2]):
        return None
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(content[:8])
        stream = io.BytesIO(content)
        stream.seek(tags.next)
        tags.load(stream)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):
        return None
    return tags if _WIDTH in tags and _HEIGHT in tags else None


def _plain_tiff(content: bytes, fits: Size | None) -> Stored | None:
    """Read a TIFF whose bands or colors Pillow gives as they are, or return None."""
    tags = _tiff_tags(content)
    # Pillow writes to the terminal of what it cannot open.
    if tags is None or int(tags.get(_SAMPLES, 1)) > _PILLOW:
        return None
    try:
        with opened(content) as picture:
            orientation = orientation_of(picture)
            stored = _plain_pixels(picture, tags)
    except (*UNREADABLE, *_DAMAGED):
        return None
    if stored is None or orientation == 1:
        return stored
    # Pillow has turned it already.
    size = shown_from_stored((stored.pixels.shape[0], stored.pixels.shape[1]), orientation)
    if not is_turned(size, orientation, fits):
        return stored._replace(pixels=stored_tiff(stored.pixels, orientation))
    return stored


def _plain_pixels(picture: Image.Image, tags: Any) -> Stored | None:
    """Read an opened TIFF of one page: colors of 8 bits, or one band of 12 or 16; None for any other."""
    mode = picture.mode
    if int(getattr(picture, "n_frames", 1)) > 1:
        return None
    whole = len(picture.getbands()) == int(tags.get(_SAMPLES, 1))
    if mode.startswith("I;16") and whole:
        bits = 12 if is_twelve_bits(picture) else 16
        values = np.array(picture)
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
            values = 2**bits - 1 - values
        return Stored(values[..., None], bits)
    # Indices of a palette and amounts of ink are no bands.
    if mode in ("1", "P", "CMYK", "YCbCr", "LAB"):
        return Stored(from_pillow(picture), 8)
    if mode not in PLAIN or not whole or set(tags.get(_BITS, (1,))) != {8}:
        return None
    return Stored(three_axes(np.array(picture)), 8)


def _any_tiff(content: bytes, fits: Size | None) -> Stored:
    """Read a TIFF of any bands and depth by ``tifffile``."""
    library = _tifffile()
    try:
        with library.TiffFile(io.BytesIO(content)) as file:
            page = file.pages[0]
            require_size((page.imagewidth, page.imagelength))
            orientation = _tag(page, _ORIENTATION, 1)
            series = file.series[0]
            _require_bounded(math.prod(series.shape) * series.dtype.itemsize, len(content))
            pixels = _bands_last(series.asarray(), series.axes)
            bits = int(page.bitspersample)
    except WrongBandsError:
        raise
    except Exception as error:  # a damaged file fails in any way there is
        raise ValueError(f"it is a damaged TIFF, or one of a kind that is not read: {error}") from error
    if is_turned((pixels.shape[0], pixels.shape[1]), orientation, fits):
        pixels = turned(pixels, orientation)
    return Stored(np.ascontiguousarray(pixels), bits)


def _require_bounded(claimed: int, size: int) -> None:
    """Refuse pixels that would fill the memory though their file is small.

    Raises:
        ValueError: they claim more bytes than the largest picture has, and than the file may unpack to.
    """
    if claimed > max(3e6 * max_megapixels(), _DENSEST * size):
        raise ValueError(
            f"its bands claim {claimed / 1e9:.1f} GB, and its file has {size / 1e6:.1f} MB; raise data.max_megapixels "
            "if that is right"
        )


def _tifffile() -> Any:
    library = optional_import("tifffile", "tiff")
    # It writes to the terminal of each odd tag.
    library.logger().setLevel("CRITICAL")
    return library


def _tag(page: Any, number: int, default: int) -> int:
    tag = page.tags.get(number)
    return default if tag is None else int(tag.value)


def _bands_last(pixels: np.ndarray, axes: str) -> np.ndarray:
    """Bring an array of ``tifffile`` to ``[H, W, C]``; pages of one size are bands too.

    Raises:
        WrongBandsError: an array of more axes, such as a stack of volumes.
    """
    if axes == "YX":
        return pixels[..., None]
    if pixels.ndim == 3 and axes.endswith("YX"):
        return np.moveaxis(pixels, 0, -1)
    if axes == "YXS":
        return pixels
    raise WrongBandsError(f"it is a TIFF with the axes {axes} of {list(pixels.shape)}, which is no picture of bands")
