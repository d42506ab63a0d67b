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

from densekd.data.lookup import looked_up

HUES = 180
# OpenCV's fixed-point arithmetic: 12 bits behind the point.
_SHIFT = 12
_HALF = 1 << (_SHIFT - 1)
# The hue is a function of red minus blue and green minus blue, which lie between -255 and 255; this many
# columns hold one of them, from -255 on.
_DIFFERENCES = 512
_LOWEST = -255
_PER_LEVEL = np.float32(1 / 255)
# Pixels that are converted at a time: their temporaries stay in the processor's cache.
_BLOCK = 1 << 17

# Red, green and blue in each sixth of the circle: the value itself (0), without the saturation (1),
# falling (2) or rising (3) with the hue.
_SECTORS = ((0, 3, 1), (2, 0, 1), (1, 0, 3), (1, 2, 0), (3, 1, 0), (0, 1, 2))


class HSV(NamedTuple):
    """Hue in half degrees, 0 to 179; saturation and value, 0 to 255; each uint8 ``[H, W]``."""

    hue: Tensor
    saturation: Tensor
    value: Tensor


class _Temporaries:
    """Memory for one block of N pixels, used block after block: new memory costs more than most of the arithmetic."""

    def __init__(self, pixels: int) -> None:
        self.bytes = torch.empty(4, pixels, dtype=torch.uint8)
        self.shorts = torch.empty(3, pixels, dtype=torch.int16)
        self.places = torch.empty(2, pixels, dtype=torch.int32)
        self.floats = torch.empty(2, pixels, dtype=torch.float32)


def rgb_to_hsv(image: Tensor) -> HSV:
    """Convert an image as ``cv2.COLOR_RGB2HSV`` does.

    Args:
        image: uint8 RGB ``[3, H, W]``.
    """
    _, height, width = image.shape
    planes = _forward(image.reshape(3, -1), _Temporaries(height * width), _forward_tables())
    return HSV(*(plane.view(height, width) for plane in planes))


def hsv_to_rgb(hsv: HSV) -> Tensor:
    """Convert back as ``cv2.COLOR_HSV2RGB`` does: uint8 RGB ``[3, H, W]``."""
    height, width = hsv.value.shape
    image = torch.empty(3, height * width, dtype=torch.uint8)
    planes = HSV(*(plane.reshape(-1) for plane in hsv))
    _backward(planes, _Temporaries(height * width), _backward_tables(), image)
    return image.view(3, height, width)


def through_hsv(image: Tensor, hue: int = 0, saturations: Tensor | None = None) -> Tensor:
    """Convert an image to HSV, turn its hue or change its saturation, and convert it back.

    Args:
        image: uint8 RGB ``[3, H, W]``.
        hue: half degrees that are added, around the circle.
        saturations: what becomes of each, uint8 ``[256]``; None: it stays.
    """
    # Both changes are made to the tables, not to all pixels.
    hues, by_color = _forward_tables()
    if saturations is not None:
        by_color = torch.from_numpy(looked_up(by_color.numpy(), saturations.numpy()))
    first = hue % HUES * 256
    back = [factors[first:] for factors in _backward_tables()]
    pixels = image.reshape(3, -1)
    changed = torch.empty_like(pixels)
    count = pixels.shape[1]
    memory = _Temporaries(min(count, _BLOCK))
    for begin in range(0, count, _BLOCK):
        block = slice(begin, begin + _BLOCK)
        planes = _forward(pixels[:, block], memory, (hues, by_color))
        _backward(planes, memory, back, changed[:, block])
    return changed.view_as(image)


def _forward(pixels: Tensor, memory: _Temporaries, tables: tuple[Tensor, Tensor]) -> HSV:
    """Look up hue and saturation of pixels uint8 ``[3, N]``; the planes ``[N]`` lie in the temporaries."""
    hues, saturations = tables
    count = pixels.shape[1]
    red, green, blue = pixels
    value, spread, hue, saturation = memory.bytes[:, :count]
    r, g, b = memory.shorts[:, :count]
    place, other = memory.places[:, :count]
    # Hue: by how far red and green are above blue.
    r.copy_(red)
    g.copy_(green)
    b.copy_(blue).add_(_LOWEST)
    place.copy_(g.sub_(b))
    other.copy_(r.sub_(b))
    torch.add(other, place, alpha=_DIFFERENCES, out=place)
    torch.index_select(hues, 0, place, out=hue)
    # Saturation: 255 spread / value, a table of 256 x 256.
    torch.maximum(red, green, out=value)
    torch.maximum(value, blue, out=value)
    torch.minimum(red, green, out=spread)
    torch.minimum(spread, blue, out=spread)
    torch.sub(value, spread, out=spread)
    place.copy_(value)
    other.copy_(spread)
    torch.add(other, place, alpha=256, out=place)
    torch.index_select(saturations, 0, place, out=saturation)
    return HSV(hue, saturation, value)


def _backward(planes: HSV, memory: _Temporaries, tables: Sequence[Tensor], image: Tensor) -> None:
    """Multiply the value by each channel's factor, looked up by hue and saturation, into uint8 ``[3, N]``."""
    count = image.shape[1]
    place, other = memory.places[:, :count]
    value, color = memory.floats[:, :count]
    whole = memory.shorts[0, :count]
    place.copy_(planes.hue)
    other.copy_(planes.saturation)
    torch.add(other, place, alpha=256, out=place)
    value.copy_(planes.value).mul_(_PER_LEVEL.item())
    for channel, factors in zip(image, tables, strict=True):
        # The order of the two products is OpenCV's; colors are cut off, not rounded. By way of 16 bits,
        # to which floats are cut several at a time.
        torch.index_select(factors, 0, place, out=color)
        channel.copy_(whole.copy_(color.mul_(value).mul_(255)))


@lru_cache(maxsize=1)
def _forward_tables() -> tuple[Tensor, Tensor]:
    """Tables of hues by (green - blue, red - blue) and of saturations by (value, spread), flat uint8."""
    levels = np.arange(256)
    # Reciprocals in fixed point; a division by zero is 0.
    divisors = np.maximum(levels, 1)
    by_value = np.rint((255 << _SHIFT) / divisors).astype(np.int64) * (levels > 0)
    by_spread = np.rint((HUES << _SHIFT) / (6.0 * divisors)).astype(np.int64) * (levels > 0)
    saturations = (levels[None] * by_value[:, None] + _HALF) >> _SHIFT
    # Hues of colors whose blue is 0; their red and green may be below it.
    differences = np.arange(_LOWEST, _LOWEST + _DIFFERENCES)
    red, green = differences[None], differences[:, None]
    value = np.maximum(np.maximum(red, green), 0)
    spread = value - np.minimum(np.minimum(red, green), 0)
    # Which channel is the largest, red before green, and how far the other two are apart.
    of_green_or_blue = np.where(value == green, 2 * spread - red, 4 * spread + red - green)
    numerators = np.where(value == red, green, of_green_or_blue)
    hues = (numerators * by_spread[spread.clip(0, 255)] + _HALF) >> _SHIFT
    # Hues below red come from the other end of the circle.
    hues = np.where(hues < 0, hues + HUES, hues)
    return _flat_bytes(hues), _flat_bytes(saturations)


def _flat_bytes(table: np.ndarray) -> Tensor:
    # Entries that no color reaches do not fit a byte.
    return torch.from_numpy(table.clip(0, 255).astype(np.uint8).reshape(-1))


@lru_cache(maxsize=1)
def _backward_tables() -> tuple[Tensor, Tensor, Tensor]:
    """Factors on the value for red, green and blue by (hue, saturation), flat float32 of 360 x 256: two turns."""
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
    # The circle twice: a turn of the hue begins elsewhere.
    red, green, blue = torch.from_numpy(np.tile(factors, (1, 2, 1)).reshape(3, -1))
    return red, green, blue


def _one_minus(saturation: np.ndarray, factor: np.float32) -> np.ndarray:
    """``1 - saturation * factor``, rounded to float32 once, as a fused multiply-add does."""
    exact: np.ndarray = 1 - saturation.astype(np.float64) * np.float64(factor)
    return exact.astype(np.float32)
