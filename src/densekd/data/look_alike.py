"""Fingerprints of how images look, and how far two of them are apart."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from densekd.data.files import content_of
from densekd.data.found import Source
from densekd.data.picture import UNREADABLE, opened
from densekd.data.picture.tiff import tiff_bands
from densekd.errors import UserError

# Of 16 x 16 comparisons of neighboring pixels; so many may differ in near-duplicates.
_SIDE = 16
NEAR = 8
_ONES = np.array([int(value).bit_count() for value in range(256)], dtype=np.uint16)


class HasImage(Protocol):
    """What is read of an item of a split."""

    @property
    def image(self) -> Source: ...  # noqa: D102


def look_of(item: HasImage) -> np.ndarray:
    """Hash how an image looks: which of neighboring pixels is brighter, at 16 x 17 pixels; 32 bytes.

    Raises:
        UserError: an image that cannot be read.
    """
    content = content_of(item.image)
    try:
        with opened(content) as picture:
            # JPEG decodes at a fraction of its size.
            picture.draft("L", (4 * _SIDE, 4 * _SIDE))
            return _hash(picture.convert("L"))
    except UNREADABLE as error:
        bright = _brightness_of_bands(content)
        if bright is None:
            raise UserError(f"{item.image}: the image cannot be read ({error}). Replace or remove it.") from error
        return _hash(bright)


def _hash(gray: Image.Image) -> np.ndarray:
    """Return which of neighboring pixels is brighter, as bits."""
    values = np.asarray(gray.resize((_SIDE + 1, _SIDE), Image.Resampling.BOX), dtype=np.float32)
    bits: np.ndarray = np.packbits(values[:, 1:] > values[:, :-1])
    return bits


def _brightness_of_bands(content: bytes) -> Image.Image | None:
    """Return the mean of the bands of a TIFF that viewers do not show; None for what is none."""
    try:
        pixels = tiff_bands(content, None).pixels
    except (*UNREADABLE, UserError):
        return None
    return Image.fromarray(pixels.astype(np.float32).mean(2))


def distances(look: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return in how many of 256 comparisons a fingerprint differs from each of others, ``[N]``.

    Args:
        look: 32 bytes.
        others: ``[N, 32]``.
    """
    found: np.ndarray = _ONES[others ^ look].sum(1)
    return found


def are_telling(looks: Sequence[np.ndarray] | np.ndarray) -> np.ndarray:
    """Say of each fingerprint whether it means something: a blank picture resembles everything that is blank."""
    table = np.asarray(looks, dtype=np.uint8).reshape(-1, 2 * _SIDE)
    telling: np.ndarray = _ONES[table].sum(1) > 4 * NEAR
    return telling
