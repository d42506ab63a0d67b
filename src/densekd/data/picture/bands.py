"""Pictures of any number of bands: gray, RGB and near infrared, multispectral TIFF; 8 bits, 16 bits, floats."""

import numpy as np
import torch
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

from densekd.data.picture.decode import decode_picture, from_pillow
from densekd.data.picture.kind import PictureKind
from densekd.data.picture.opened import opened
from densekd.data.picture.tiff import PLAIN, TIFF, Stored, WrongBandsError, three_axes, tiff_bands
from densekd.data.picture.turn import Size, is_turned, orientation_of, turned

# How many bands a picture has, or which of them are read, numbered from 1 as GDAL and rasterio do.
Bands = int | tuple[int, ...]
# Three bands are colors as viewers show them.
RGB = 3
# What red, green and blue add to the brightness (ITU-R BT.601).
LUMA = (0.299, 0.587, 0.114)

_COLORS = (3, 4)
# Where a PNG says its bits a channel.
_PNG_BITS = 24


def band_count(bands: Bands) -> int:
    """Return the number of bands that are read."""
    return bands if isinstance(bands, int) else len(bands)


def decode_bands(content: bytes, bands: Bands, fits: Size | None = None) -> np.ndarray:
    """Decode a picture file to its bands ``[H, W, N]``.

    Three bands are RGB as viewers show it, see :func:`densekd.data.picture.decode.decode_picture`.
    One band is gray: a file of one band, or the brightness of colors. Any other number, and a list,
    are bands as they are stored, an alpha channel among them. Eight bits stay uint8; more become
    float32, their full range 0 to 1; floats stay what they are.

    Args:
        content: of the file.
        bands: how many the file must have, or the numbers of those that are read, from 1.
        fits: (height, width) of the label, which may have been made on the stored pixels of a
            photograph with an EXIF orientation.

    Raises:
        WrongBandsError: the file has other bands.
        UserError: a TIFF that needs ``tifffile``, which is not installed.
        OSError, SyntaxError, ValueError: no picture, or a damaged one.
    """
    if bands == RGB:
        return decode_picture(content, fits)
    stored = _stored(content, fits)
    pixels = stored.pixels
    there = pixels.shape[2]
    if bands == 1:
        return _scaled(_gray(pixels), stored.bits)
    if isinstance(bands, int):
        if there != bands:
            raise WrongBandsError(
                f"it has {_bands(there)}, and data.bands is {bands}; write data.bands: {there}, or list the numbers "
                "of those that are read, from 1"
            )
        return _scaled(pixels, stored.bits)
    if max(bands) > there:
        raise WrongBandsError(f"it has {_bands(there)}, and data.bands asks for band {max(bands)}")
    chosen = pixels[..., [number - 1 for number in bands]]
    return _scaled(np.ascontiguousarray(chosen), stored.bits)


def as_bands(pixels: np.ndarray, bands: Bands) -> np.ndarray:
    """Bring an array ``[H, W, N]`` or ``[H, W]`` in memory to what :func:`decode_bands` returns.

    Raises:
        WrongBandsError: an array of other bands.
    """
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    count = band_count(bands)
    if pixels.ndim != 3 or pixels.shape[2] != count:
        raise WrongBandsError(f"the model takes [H, W, {count}], and this array is {list(pixels.shape)}")
    return _scaled(pixels, 8 * pixels.dtype.itemsize)


def band_kind(content: bytes, pixels: np.ndarray) -> PictureKind:
    """Look what a picture of bands is: its number of bands, bits a band, and the range of what was read.

    Args:
        content: of the file.
        pixels: as :func:`decode_bands` returned them.
    """
    stored = _stored(content, None)
    height, width, count = stored.pixels.shape
    mode = _bands(count)
    white = 1.0
    if np.issubdtype(stored.pixels.dtype, np.floating):
        mode += " of floats"
    elif pixels.dtype != np.uint8:
        white = 2.0**stored.bits - 1
    values = (float(pixels.min()) * white, float(pixels.max()) * white)
    return PictureKind(mode, stored.bits, 1, 1, (height, width), values=values)


def shown_bands(pixels: np.ndarray) -> np.ndarray:
    """Return a picture of bands for people: uint8 RGB ``[H, W, 3]`` of the first three, or gray.

    Deeper bands than 8 bits are stretched between their 2nd and 98th percentile, as viewers of satellite
    images do.

    Args:
        pixels: ``[H, W, N]``, uint8 or float.
    """
    count = pixels.shape[2]
    shown = pixels[..., :3] if count >= RGB else np.repeat(pixels[..., :1], RGB, 2)
    if shown.dtype == np.uint8:
        return np.ascontiguousarray(shown)
    low, high = np.percentile(shown, (2, 98))
    stretched = (shown - low) / max(high - low, 1e-6)
    array: np.ndarray = (np.clip(stretched, 0, 1) * 255).round().astype(np.uint8)
    return array


def _stored(content: bytes, fits: Size | None) -> Stored:
    """Read the bands that a file stores."""
    if content.startswith(TIFF):
        return tiff_bands(content, fits)
    with opened(content) as picture:
        orientation = orientation_of(picture)
        stored = _of_picture(picture, content)
    height, width = stored.pixels.shape[:2]
    if is_turned((height, width), orientation, fits):
        return stored._replace(pixels=turned(stored.pixels, orientation))
    return stored


def _of_picture(picture: Image.Image, content: bytes) -> Stored:
    """Read the stored bands of an opened picture that is no TIFF."""
    # Pillow keeps the high byte of deep colors alone.
    if picture.format == "PNG" and content[_PNG_BITS] == 16:
        encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        pixels = decode_image(encoded, ImageReadMode.UNCHANGED).permute(1, 2, 0).numpy()
        return Stored(np.ascontiguousarray(pixels), 16)
    if picture.mode == "1":
        return Stored(np.array(picture.convert("L"))[..., None], 8)
    if picture.mode not in PLAIN:
        return Stored(from_pillow(picture), 8)
    return Stored(three_axes(np.array(picture)), 8)


def _gray(pixels: np.ndarray) -> np.ndarray:
    """Return one band: the only one, or the brightness of colors; alpha is left out.

    Raises:
        WrongBandsError: bands that are no colors.
    """
    count = pixels.shape[2]
    if count <= 2:
        return pixels[..., :1]
    if count not in _COLORS:
        raise WrongBandsError(
            f"it has {count} bands, which are no colors to make gray of; list the number of the band that is read, "
            "from 1, for instance data.bands: [1]"
        )
    brightness = pixels[..., :3] @ np.array(LUMA)
    if np.issubdtype(pixels.dtype, np.integer):
        brightness = brightness.round()
    array: np.ndarray = brightness.astype(pixels.dtype)[..., None]
    return array


def _scaled(pixels: np.ndarray, bits: int) -> np.ndarray:
    """Keep 8 bits; bring deeper whole numbers to float32 in [0, 1]; keep floats.

    Raises:
        ValueError: numbers below zero or that are no numbers.
    """
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.bool_:
        return pixels.astype(np.uint8) * 255
    if np.issubdtype(pixels.dtype, np.floating):
        if not np.isfinite(pixels).all():
            count = int((~np.isfinite(pixels)).sum())
            raise ValueError(f"{count} of its {pixels.size} values are no numbers (NaN or infinite); replace them")
        return pixels.astype(np.float32)
    if np.issubdtype(pixels.dtype, np.signedinteger):
        # Half of the range is below zero.
        bits -= 1
        if pixels.min() < 0:
            raise ValueError(f"its values begin at {pixels.min()}, below zero, which is no brightness; replace them")
    if not np.issubdtype(pixels.dtype, np.integer):
        raise ValueError(f"its values are {pixels.dtype}")
    array: np.ndarray = (pixels.astype(np.float64) / (2.0**bits - 1)).astype(np.float32)
    return array


def _bands(count: int) -> str:
    return f"{count} band{'s' * (count > 1)}"
