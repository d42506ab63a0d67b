"""EXIF orientation: pixels turned and mirrored as viewers show them."""

import struct
from typing import Any

import numpy as np
from PIL import Image

Size = tuple[int, int]

_ORIENTATION = 0x0112
# Of these the width becomes the height.
_SIDEWAYS = (5, 6, 7, 8)
# What undoes each turn; the others undo themselves.
_INVERSE = {6: 8, 8: 6}
# Where a PNG keeps its orientation; without any of these there is none.
_IN_PNG = ("exif", "Raw profile type exif", "XML:com.adobe.xmp")
# What damaged EXIF data raises; viewers show such pictures as they are stored.
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, KeyError, AssertionError, OverflowError, struct.error)


def orientation_of(picture: Image.Image) -> int:
    """Return the EXIF orientation of an opened picture, 1 to 8; 1 where it has none.

    To be asked before its pixels are read: of a TIFF, Pillow forgets it then.
    """
    # Pillow would decode a PNG to look for EXIF data behind its pixels, where viewers do not look.
    if picture.format == "PNG" and not any(key in picture.info for key in _IN_PNG):
        return 1
    try:
        value: Any = picture.getexif().get(_ORIENTATION, 1)
    except _DAMAGED:
        return 1
    if isinstance(value, int) and 1 <= value <= 8:
        return value
    return 1


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Turn and mirror stored pixels ``[H, W, ...]`` as an EXIF orientation says."""
    if orientation == 2:
        pixels = pixels[:, ::-1]
    elif orientation == 3:
        pixels = pixels[::-1, ::-1]
    elif orientation == 4:
        pixels = pixels[::-1]
    elif orientation == 5:
        pixels = pixels.swapaxes(0, 1)
    elif orientation == 6:
        pixels = np.rot90(pixels, -1)
    elif orientation == 7:
        pixels = pixels[::-1, ::-1].swapaxes(0, 1)
    elif orientation == 8:
        pixels = np.rot90(pixels)
    return np.ascontiguousarray(pixels)


def shown_from_stored(size: Size, orientation: int) -> Size:
    """Return the (height, width) that a viewer shows of a stored one; and the other way round."""
    height, width = size
    return (width, height) if orientation in _SIDEWAYS else size


def is_turned(size: Size, orientation: int, fits: Size | None) -> bool:
    """Decide whether a picture is turned as its EXIF orientation says.

    Labels and boxes were made either on the picture that viewers show or on its stored pixels. The
    size tells which; where it does not, it is the former, as OpenCV, and with it mmsegmentation,
    mmdetection and Ultralytics, read pictures.

    Args:
        size: (height, width) as stored.
        orientation: EXIF orientation.
        fits: (height, width) of the label or annotations, or None.
    """
    if orientation == 1:
        return False
    return fits is None or fits != size or shown_from_stored(size, orientation) == fits


def as_shown(picture: Image.Image) -> Image.Image:
    """Return an opened picture, of any mode, with its pixels as viewers show them."""
    orientation = orientation_of(picture)
    picture.load()
    # Pillow turns a TIFF when it reads its pixels.
    if orientation == 1 or picture.format == "TIFF":
        return picture
    name = picture.format
    shown = picture.transpose(_TRANSPOSE[orientation])
    # A turned copy forgets what kind of file it came from.
    shown.format = name
    return shown


_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def stored_tiff(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the turn that Pillow gave a TIFF."""
    return turned(pixels, _INVERSE.get(orientation, orientation))
