"""Hue, saturation and value of 8-bit images exactly as OpenCV converts them, by table lookups.

``RGB2HSV`` and ``HSV2RGB`` of OpenCV's vectorized code with fused multiply-add (any x86-64 wheel on
a processor with AVX2), which rounds hue and saturation to whole numbers and cuts colors off below.
OpenCV's scalar code, which takes the last few pixels of a row whose width is no multiple of 32,
rounds the colors instead; here every pixel is converted alike.

Shapes: H and W height and width of an image, N = H W pixels. Hue is in half degrees, 0 to 179.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

HUES = 180
# OpenCV's fixed-point arithmetic: 12 bits behind the point.
_SHIFT = 12
_HALF = 1 << (_SHIFT - 1)
# The numerator of the hue lies between -255 and 5 * 255; this many columns hold it, from -256 on.
_NUMERATORS = 1536
_LOWEST = -256
_PER_LEVEL = np.float32(1 / 255)

# Red, green and blue in each sixth of the circle: the value itself (0), without the saturation (1),
# falling (2) or rising (3) with the hue.
_SECTORS = ((0, 3, 1), (2, 0, 1), (1, 0, 3), (1, 2, 0), (3, 1, 0), (0, 1, 2))


class HSV(NamedTuple):
    """Hue in half degrees, 0 to 179; saturation and value, 0 to 255; each uint8 ``[H, W]``."""

    hue: Tensor
    saturation: Tensor
    value: Tensor


def rgb_to_hsv(image: Tensor) -> HSV:
    """Convert an image as ``cv2.COLOR_RGB2HSV`` does.

    Args:
        image: uint8 RGB ``[3, H, W]``.
    """
    hues, saturations = _forward_tables()
    red, green, blue = image.contiguous()
    value = torch.maximum(torch.maximum(red, green), blue)
    spread = value - torch.minimum(torch.minimum(red, green), blue)
    wide = spread.int()
    # Saturation: 255 spread / value, a table of 256 x 256.
    place = value.int().mul_(256).add_(wide)
    saturation = saturations.index_select(0, place.view(-1)).view_as(value)
    # Hue: which channel is the largest, red before green, and how far the other two are apart.
    r, g, b, d = red.short(), green.short(), blue.short(), spread.short().mul_(2)
    of_green = (b - r).add_(d)
    of_blue = (r - g).add_(d.mul_(2))
    of_green_or_blue = _chosen(value == green, of_green, of_blue)
    numerator = _chosen(value == red, g.sub_(b), of_green_or_blue)
    place = wide.mul_(_NUMERATORS).add_(numerator).sub_(_LOWEST)
    hue = hues.index_select(0, place.view(-1)).view_as(value)
    return HSV(hue, saturation, value)


def _chosen(where: Tensor, one: Tensor, other: Tensor) -> Tensor:
    """Write ``one`` into ``other`` where a mask is True, both int16, by bits: several times quicker than a branch."""
    bits = where.short().neg_()
    return other.bitwise_xor_(one.bitwise_xor_(other).bitwise_and_(bits))


def through_hsv(image: Tensor, hue: int = 0, saturations: Tensor | None = None) -> Tensor:
    """Convert an image to HSV, turn its hue or change its saturation, and convert it back.

    Args:
        image: uint8 RGB ``[3, H, W]``.
        hue: half degrees that are added, around the circle.
        saturations: what becomes of each, uint8 ``[256]``; None: it stays.
    """
    # The change is made to the tables of the way back: of 180 hues and 256 saturations, not of all pixels.
    tables = []
    for factors in _backward_tables():
        changed = factors.view(HUES, -1).roll(-hue, 0)
        if saturations is not None:
            changed = changed.index_select(1, saturations.int())
        tables.append(changed.reshape(-1))
    return _from_tables(rgb_to_hsv(image), tables)


def hsv_to_rgb(hsv: HSV) -> Tensor:
    """Convert back as ``cv2.COLOR_HSV2RGB`` does: uint8 RGB ``[3, H, W]``."""
    return _from_tables(hsv, _backward_tables())


def _from_tables(hsv: HSV, tables: Sequence[Tensor]) -> Tensor:
    """Multiply the value by each channel's factor, which is looked up by hue and saturation."""
    height, width = hsv.value.shape
    place = hsv.hue.int().mul_(256).add_(hsv.saturation).view(-1)
    value = hsv.value.reshape(-1).float().mul_(_PER_LEVEL.item())
    image = torch.empty(3, height * width, dtype=torch.uint8)
    for channel, factors in zip(image, tables, strict=True):
        # The order of the two products is OpenCV's; colors are cut off, not rounded. By way of 16 bits,
        # to which floats are cut several at a time.
        channel.copy_(factors.index_select(0, place).mul_(value).mul_(255).short())
    return image.view(3, height, width)


@lru_cache(maxsize=1)
def _forward_tables() -> tuple[Tensor, Tensor]:
    """Tables of hues by (spread, numerator) and of saturations by (value, spread), flat uint8."""
    levels = np.arange(256)
    # Reciprocals in fixed point; a division by zero is 0.
    divisors = np.maximum(levels, 1)
    by_value = np.rint((255 << _SHIFT) / divisors).astype(np.int64) * (levels > 0)
    by_spread = np.rint((HUES << _SHIFT) / (6.0 * divisors)).astype(np.int64) * (levels > 0)
    saturations = (levels[None] * by_value[:, None] + _HALF) >> _SHIFT
    numerators = np.arange(_LOWEST, _LOWEST + _NUMERATORS)
    hues = (numerators[None] * by_spread[:, None] + _HALF) >> _SHIFT
    # Hues below red come from the other end of the circle.
    hues = np.where(hues < 0, hues + HUES, hues)
    return _flat_bytes(hues), _flat_bytes(saturations)


def _flat_bytes(table: np.ndarray) -> Tensor:
    # Entries that no color reaches do not fit a byte.
    return torch.from_numpy(table.clip(0, 255).astype(np.uint8).reshape(-1))


@lru_cache(maxsize=1)
def _backward_tables() -> tuple[Tensor, Tensor, Tensor]:
    """Factors on the value for red, green and blue by (hue, saturation), flat float32 of 180 x 256."""
    saturation = np.arange(256, dtype=np.float32) * _PER_LEVEL
    factors = np.empty((3, HUES, 256), dtype=np.float32)
    for hue in range(HUES):
        angle = np.float32(hue) * (np.float32(6) / np.float32(HUES))
        sector = int(angle)
        part = np.float32(angle - sector)
        choices = (
            np.ones_like(saturation),
            _one_minus(saturation, np.float32(1)),
            _one_minus(saturation, part),
            _one_minus(saturation, np.float32(1 - part)),
        )
        for channel, choice in enumerate(_SECTORS[sector]):
            factors[channel, hue] = choices[choice]
    red, green, blue = torch.from_numpy(factors.reshape(3, -1))
    return red, green, blue


def _one_minus(saturation: np.ndarray, factor: np.float32) -> np.ndarray:
    """``1 - saturation * factor``, rounded to float32 once, as a fused multiply-add does."""
    exact: np.ndarray = 1 - saturation.astype(np.float64) * np.float64(factor)
    return exact.astype(np.float32)
