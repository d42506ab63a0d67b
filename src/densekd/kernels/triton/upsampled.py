"""Bilinear upsampling inside Triton kernels, and its gradient accumulated cell by cell.

A label pixel lies in a cell ``(i, j)`` of the student's map, between rows i, i + 1 and columns j,
j + 1. A program owns a row of cells: the gradient of all label pixels in a cell goes to its four
corners and is accumulated in registers. Corners are written apart and added up afterwards, in an
order that never changes: two runs give the same bits.
"""

# b image, c channel, i, j row and column of a map [B, C, h, w] with any strides sb, sc, sh, sw
# y, x row and column of a label pixel
# a tile has CHANNELS channels x BLOCK cells or pixels
# v00, v01, v10, v11 values of the corners (upper left, upper right, lower left, lower right)
# g00, g01, g10, g11 gradients of the corners; both [CHANNELS, BLOCK]
# dy, dx interpolation weights of the lower and of the right corners

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.ops.interpolation import Upsample, source_indices

# Numbers that the gradients of the corners take at most, beyond those of one image.
_CORNERS = 1 << 26


class Axis(NamedTuple):
    """Interpolation tables of one axis, on the device.

    Args:
        cell: int32 ``[target]``: the cell that each label pixel lies in, the index of its lower
            neighbor.
        weight: float32 ``[target]``: interpolation weight of the upper neighbor.
        begin: int32 ``[source + 1]``: the first label pixel of each cell; the last ends at the next
            cell's first.
    """

    cell: Tensor
    weight: Tensor
    begin: Tensor


class Cells(NamedTuple):
    """What a launch over cells is compiled for.

    Args:
        channels: of a tile.
        block: cells of a tile.
        warps: of a program.
    """

    channels: int
    block: int
    warps: int


def cells(shape: tuple[int, ...], tile: int, each: int) -> Cells:
    """Choose a tile with all channels of a map ``[B, C, h, w]``.

    Args:
        shape: of the map.
        tile: numbers of a tile, where the channels are no more.
        each: numbers of a thread.
    """
    channels = triton.next_power_of_2(shape[1])
    block = max(1, min(tile // channels, triton.next_power_of_2(shape[3])))
    warps = min(16, max(1, channels * block // (32 * each)))
    return Cells(channels, block, warps)


@lru_cache(maxsize=64)
def axis(source: int, target: int, align_corners: bool, device: torch.device) -> Axis:
    """Return the tables of one axis of length ``source``, resized to ``target``."""
    indices = source_indices(source, target, align_corners)
    cell = torch.tensor([lower for lower, _, _ in indices])
    weight = torch.tensor([weight for _, _, weight in indices], dtype=torch.float32)
    # Cells are sorted along the axis: those of one cell are a range.
    begin = torch.searchsorted(cell, torch.arange(source + 1))
    return Axis(cell.int().to(device), weight.to(device), begin.int().to(device))


def axes(x: Tensor, upsample: Upsample) -> tuple[Axis, Axis]:
    """Return the tables of rows and columns of a map ``[B, C, h, w]``."""
    h, w = x.shape[2:]
    H, W = upsample.size
    rows = axis(h, H, upsample.align_corners, x.device)
    columns = axis(w, W, upsample.align_corners, x.device)
    return rows, columns


def image_blocks(x: Tensor) -> Iterator[slice]:
    """Split the images of ``[B, C, h, w]`` so that the corners' gradients of a block stay small."""
    images = max(1, _CORNERS // max(1, 4 * x[:1].numel()))
    for first in range(0, len(x), images):
        yield slice(first, min(first + images, len(x)))


def joined_corners(corners: Tensor) -> Tensor:
    """Add up the gradients of the cells' corners, always in one order.

    Args:
        corners: ``[4, B, C, h, w]``, upper left, upper right, lower left, lower right; overwritten.

    Returns:
        The gradient ``[B, C, h, w]``: each element is a corner of four cells. Beyond the last row and
        column both corners are the same element.
    """
    left, right = corners[0::2], corners[1::2]
    left[..., 1:] += right[..., :-1]
    left[..., -1] += right[..., -1]
    upper, lower = left
    upper[..., 1:, :] += lower[..., :-1, :]
    upper[..., -1, :] += lower[..., -1, :]
    joined: Tensor = upper
    return joined


@triton.jit
def label_pixels(row_begin, column_begin, i, j, valid):  # type: ignore
    """Load the rectangle of label pixels of cells: rows and columns, the end excluded."""
    y_begin = tl.load(row_begin + i)
    y_end = tl.load(row_begin + i + 1)
    x_begin = tl.load(column_begin + j, mask=valid, other=0)
    x_end = tl.load(column_begin + j + 1, mask=valid, other=0)
    return y_begin, y_end, x_begin, x_end


@triton.jit
def load_corners(ptr, b, c, C, i, j, h, w, sb, sc, sh, sw, valid):  # type: ignore
    """Load the four corners ``[CHANNELS, BLOCK]`` of cells ``(i, j)``, in float32."""
    at = ptr + b * sb + c[:, None].to(tl.int64) * sc
    # The last row and column of cells have no neighbor: both of their corners are the same.
    upper = i * sh
    lower = tl.minimum(i + 1, h - 1) * sh
    left = (j * sw)[None, :]
    right = (tl.minimum(j + 1, w - 1) * sw)[None, :]
    mask = (c < C)[:, None] & valid[None, :]
    return (
        tl.load(at + upper + left, mask=mask, other=0.0).to(tl.float32),
        tl.load(at + upper + right, mask=mask, other=0.0).to(tl.float32),
        tl.load(at + lower + left, mask=mask, other=0.0).to(tl.float32),
        tl.load(at + lower + right, mask=mask, other=0.0).to(tl.float32),
    )


@triton.jit
def interpolate(v00, v01, v10, v11, dy, dx):  # type: ignore
    """Return the bilinear interpolation between the corners of cells."""
    upper = v00 + (v01 - v00) * dx
    lower = v10 + (v11 - v10) * dx
    return upper + (lower - upper) * dy


@triton.jit
def accumulate(grad, dy, dx, g00, g01, g10, g11):  # type: ignore
    """Add the gradient of pixels to that of the corners: the transpose of :func:`interpolate`."""
    lower = grad * dy
    upper = grad - lower
    return g00 + upper * (1 - dx), g01 + upper * dx, g10 + lower * (1 - dx), g11 + lower * dx


@triton.jit
def store_corners(ptr, size, g00, g01, g10, g11, b, c, C, i, j, h, w, valid):  # type: ignore
    """Write the gradients of corners to a contiguous float32 map ``[4, B, C, h, w]``.

    Each cell has its own place, ``size`` elements apart for each corner: nothing is added in an order
    that differs from run to run.
    """
    at = ptr + (b * C + c[:, None].to(tl.int64)) * h * w + i * w + j[None, :]
    mask = (c < C)[:, None] & valid[None, :]
    tl.store(at, g00, mask=mask)
    tl.store(at + size, g01, mask=mask)
    tl.store(at + 2 * size, g10, mask=mask)
    tl.store(at + 3 * size, g11, mask=mask)


@triton.jit
def load_upsampled(  # type: ignore
    ptr, b, c, C, y, x, row_cell, row_weight, column_cell, column_weight,
    h, w, sb, sc, sh, sw, row_valid, valid,
):  # fmt: skip
    """Load the values ``[CHANNELS, BLOCK]`` of a map at label pixels ``x`` of row ``y``."""
    i = tl.load(row_cell + y, mask=row_valid, other=0)
    dy = tl.load(row_weight + y, mask=row_valid, other=0.0)
    j = tl.load(column_cell + x, mask=valid, other=0)
    dx = tl.load(column_weight + x, mask=valid, other=0.0)
    v00, v01, v10, v11 = load_corners(ptr, b, c, C, i, j, h, w, sb, sc, sh, sw, valid)
    return interpolate(v00, v01, v10, v11, dy, dx[None, :])
