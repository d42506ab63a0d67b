"""Pictures of any origin as arrays: files, PIL images, arrays, tensors."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from densekd.data.files import read_image
from densekd.data.picture import (
    RGB,
    UNREADABLE,
    Bands,
    WrongBandsError,
    as_bands,
    as_shown,
    band_count,
    from_pillow,
)
from densekd.errors import UserError

# One picture: a file, a PIL image, an array [H, W, 3] or [H, W], a tensor [3, H, W].
Picture = str | Path | Image.Image | np.ndarray | Tensor


def is_batch(source: Any) -> bool:
    """Tell several pictures from one: a list, or an array or tensor with a batch dimension."""
    if isinstance(source, np.ndarray | Tensor):
        return source.ndim == 4
    return isinstance(source, Iterable) and not isinstance(source, str | Path | Image.Image)


def as_array(picture: Any, bands: Bands = RGB) -> np.ndarray:
    """Return one picture as uint8 RGB ``[H, W, 3]``, or as bands ``[H, W, N]``.

    Args:
        picture: a file or PIL image, turned as its EXIF orientation says and viewers show it; an
            array ``[H, W, 3]`` or ``[H, W]`` (gray); or a tensor ``[3, H, W]``. Values are uint8,
            or float in [0, 1].
        bands: that the model reads; of others than RGB an array has all that it takes, uint8, uint16
            or float.

    Raises:
        UserError: a missing or damaged file, another type, shape or range.
    """
    if isinstance(picture, str | Path):
        return read_image(Path(picture), bands=bands)
    if bands != RGB:
        return _bands_of(picture, bands)
    if isinstance(picture, Image.Image):
        return _from_pillow(picture)
    # Tensors have their channels first.
    if isinstance(picture, Tensor):
        if picture.ndim != 3 or picture.shape[0] != 3:
            raise UserError(f"An image tensor is [3, H, W], RGB; this one is {list(picture.shape)}.")
        picture = picture.detach().cpu().permute(1, 2, 0)
        # Arrays know no bfloat16.
        if picture.is_floating_point():
            picture = picture.float()
        picture = picture.numpy()
    if not isinstance(picture, np.ndarray):
        raise UserError(f"An image is a path, a PIL image, an array or a tensor, not a {type(picture).__name__}.")
    # Gray is red, green and blue alike.
    if picture.ndim == 2:
        picture = picture[..., None].repeat(3, 2)
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise UserError(f"An image array is [H, W, 3], RGB, or [H, W]; this one is {list(picture.shape)}.")
    return _as_uint8(picture)


def _bands_of(picture: Any, bands: Bands) -> np.ndarray:
    """Return a picture in memory as the bands of a model."""
    if isinstance(picture, Image.Image):
        # A file of the same pixels is read as any other.
        stored = np.asarray(picture)
        many = stored.ndim == 3 and stored.shape[2] != band_count(bands)
        picture = as_shown(picture).convert("L") if bands == 1 and many else as_shown(picture)
    if isinstance(picture, Tensor):
        picture = picture.detach().cpu()
        picture = picture.float() if picture.is_floating_point() else picture
        picture = np.moveaxis(picture.numpy(), 0, -1) if picture.ndim == 3 else picture.numpy()
    try:
        return np.require(as_bands(np.asarray(picture), bands), requirements="W")
    except (WrongBandsError, ValueError) as error:
        raise UserError(f"The picture cannot be read: {error}.") from error


def _from_pillow(picture: Image.Image) -> np.ndarray:
    try:
        return from_pillow(as_shown(picture))
    except UNREADABLE as error:
        raise UserError(f"The picture of Pillow cannot be read ({error}).") from error


def _as_uint8(array: np.ndarray) -> np.ndarray:
    if array.size == 0:
        raise UserError(f"An image has pixels; this one is {list(array.shape)}.")
    if array.dtype == np.uint8:
        # torch warns of memory that it may not write, such as a PIL image's.
        return np.require(array, requirements="W")
    # What is no number is in no range.
    fits = np.issubdtype(array.dtype, np.floating) and array.min() >= 0 and array.max() <= 1
    if not fits:
        raise UserError(f"An image array is uint8, or float in [0, 1]; this one is {array.dtype}.")
    return (array * 255).round().astype(np.uint8)
