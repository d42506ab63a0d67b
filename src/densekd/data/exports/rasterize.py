"""Rasterize shapes into label maps: even-odd rule at pixel centers, later shapes on top.

A pixel belongs to a polygon if its center (x + 0.5, y + 0.5) is inside by the even-odd rule; on an edge,
the left and upper ones count. A rectangle from (2, 3) to (6, 5) covers exactly its 4 x 2 pixels.
"""

import operator
from collections.abc import Iterable, Mapping

import numpy as np

from densekd.data.exports.shapes import Bitmap, Geometry, Polygon, Shape, unpacked
from densekd.data.picture.limit import require_size


def draw(shapes: Iterable[Shape], size: tuple[int, int], numbers: Mapping[str | None, int], fill: int) -> np.ndarray:
    """Draw shapes one over the other: uint8 ``[H, W]``.

    Args:
        shapes: a later one covers an earlier one.
        size: (height, width) of the image; what reaches beyond is cut off.
        numbers: label of each name; None is void's.
        fill: label where no shape is.

    Raises:
        ValueError: an image that is larger than what is decoded.
    """
    height, width = map(operator.index, size)
    require_size((width, height))
    label = np.full((height, width), fill, np.uint8)
    for name, geometry in shapes:
        paint(label, geometry, numbers[name])
    return label


def paint(label: np.ndarray, geometry: Geometry, value: int) -> None:
    """Write a value into the pixels ``[H, W]`` that a shape covers."""
    height, width = label.shape
    if isinstance(geometry, Polygon):
        mask, top, left = polygon_mask(geometry, (height, width))
    else:
        mask, top, left = _inside(geometry, (height, width))
    rows, columns = mask.shape
    label[top : top + rows, left : left + columns][mask] = value


def polygon_mask(polygon: Polygon, size: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """Rasterize a polygon: bool mask of the part of the image around it, its top row and left column.

    Args:
        polygon: with holes.
        size: (height, width) of the image.
    """
    height, width = size
    corners = np.concatenate(polygon.rings)
    (x1, y1), (x2, y2) = np.floor(corners.min(0)), np.ceil(corners.max(0))
    left, right = int(np.clip(x1, 0, width)), int(np.clip(x2, 0, width))
    top, bottom = int(np.clip(y1, 0, height)), int(np.clip(y2, 0, height))
    # One column more takes the crossings to the right of everything.
    toggles = np.zeros((bottom - top, right - left + 1), np.bool_)
    for one in polygon.rings:
        rows, xs = _crossings(one, top, bottom)
        # The first pixel whose center is at the crossing or right of it changes sides.
        columns = np.ceil(xs - 0.5).clip(left, right).astype(np.int64) - left
        np.logical_xor.at(toggles, (rows - top, columns), True)
    mask = np.logical_xor.accumulate(toggles, axis=1)[:, :-1]
    return mask, top, left


def _crossings(corners: np.ndarray, top: int, bottom: int) -> tuple[np.ndarray, np.ndarray]:
    """Return where the edges of a ring cross the center lines of rows: row numbers and x, ``[K]`` each."""
    following = np.roll(corners, -1, axis=0)
    # Every edge from its upper to its lower end.
    down = corners[:, 1] <= following[:, 1]
    upper = np.where(down[:, None], corners, following)
    lower = np.where(down[:, None], following, corners)
    # Rows whose center is at the upper end or below it, and above the lower end.
    first = np.ceil(upper[:, 1] - 0.5).clip(top, bottom).astype(np.int64)
    last = np.ceil(lower[:, 1] - 0.5).clip(top, bottom).astype(np.int64)
    counts = last - first
    edges = np.repeat(np.arange(len(corners)), counts)
    # Within each edge the rows count up from its first.
    rows = np.arange(len(edges)) - np.repeat(counts.cumsum() - counts, counts) + first[edges]
    (x1, y1), (x2, y2) = upper[edges].T, lower[edges].T
    return rows, x1 + (rows + 0.5 - y1) / (y2 - y1) * (x2 - x1)


def _inside(shape: Bitmap, size: tuple[int, int]) -> tuple[np.ndarray, int, int]:
    """Return the part of a bitmap that lies in the image, its top row and left column."""
    height, width = size
    mask = unpacked(shape)
    top, left = max(0, shape.top), max(0, shape.left)
    mask = mask[top - shape.top :, left - shape.left :]
    return mask[: max(0, height - top), : max(0, width - left)], top, left
