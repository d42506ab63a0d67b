"""Annotated shapes of images: polygons with holes and bitmaps, in pixels, with the names of their classes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from densekd.data.found import Source

# Corners of a polygon that stands for a circle: its area is then 0.04 % too small.
_CORNERS = 128


class Polygon(NamedTuple):
    """An outline and its holes.

    Coordinates are continuous: pixel x covers x to x + 1, its center is x + 0.5.

    Args:
        rings: float64 ``[P, 2]`` each, x and y of the corners; the first is the outline.
    """

    rings: tuple[np.ndarray, ...]


class Bitmap(NamedTuple):
    """A mask as runs, in the order of its rows, of pixels that are not in it and of those that are.

    Args:
        runs: int64 ``[R]``, lengths; the first is of pixels that are not in it.
        size: (height, width) of the mask.
        top: row of the image in which it begins.
        left: column of the image in which it begins.
    """

    runs: np.ndarray
    size: tuple[int, int]
    top: int
    left: int


Geometry = Polygon | Bitmap


class Shape(NamedTuple):
    """One annotation: the name of its class, None for void, and where it is."""

    name: str | None
    geometry: Geometry


class Annotated(NamedTuple):
    """One image with its shapes in the order in which they are drawn: a later one is on top.

    Args:
        stem: path from the root of the data, without suffix.
        image: where its bytes are.
        size: (height, width) that the annotations are made for.
        shapes: in pixels.
        split: where the tool itself says it.
    """

    stem: str
    image: Source
    size: tuple[int, int]
    shapes: tuple[Shape, ...]
    split: str | None = None


@dataclass(frozen=True)
class Export:
    """All images of an export.

    Args:
        path: of the export, for messages.
        names: of the classes, in order.
        images: sorted by stem.
        palette: a color for each class, where the tool has them.
        notes: what people should know, a sentence each.
    """

    path: Path
    names: tuple[str, ...]
    images: tuple[Annotated, ...]
    palette: tuple[tuple[int, int, int], ...] = ()
    notes: tuple[str, ...] = ()


def ring(points: Any) -> np.ndarray:
    """Check the corners of a ring: finite numbers ``[P, 2]``, three of them at least.

    Raises:
        ValueError: others.
    """
    corners = np.asarray(points, np.float64)
    if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
        raise ValueError("a polygon must have three points at least, x and y of each")
    return corners


def rectangle(x1: float, y1: float, x2: float, y2: float) -> Polygon:
    """Return the polygon of a rectangle with two opposite corners.

    Raises:
        ValueError: coordinates that are not finite.
    """
    return Polygon((ring([(x1, y1), (x2, y1), (x2, y2), (x1, y2)]),))


def ellipse(x: float, y: float, radius_x: float, radius_y: float, degrees: float = 0) -> Polygon:
    """Return a polygon around a center, turned clockwise (y points down)."""
    angles = np.arange(_CORNERS) * 2 * np.pi / _CORNERS
    corners = np.stack([radius_x * np.cos(angles), radius_y * np.sin(angles)], 1)
    return Polygon((ring(turned(corners, degrees) + np.array([x, y])),))


def turned(corners: np.ndarray, degrees: float) -> np.ndarray:
    """Turn points ``[P, 2]`` around the origin, clockwise as y points down."""
    angle = np.deg2rad(degrees)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    result: np.ndarray = corners @ matrix
    return result


def bitmap(mask: np.ndarray, top: int = 0, left: int = 0) -> Bitmap | None:
    """Return the runs of a mask, bool ``[H, W]``, cut to what is in it; None for nothing."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    first, last = rows[0], rows[-1] + 1
    start, end = columns[0], columns[-1] + 1
    inside = mask[first:last, start:end]
    # Runs change where neighboring pixels differ; before the first pixel is none.
    values = np.concatenate([[False], inside.ravel(), [not inside[-1, -1]]])
    changes = np.flatnonzero(values[1:] != values[:-1])
    runs = np.diff(np.concatenate([[0], changes]))
    return Bitmap(runs, inside.shape, top + int(first), left + int(start))


def unpacked(shape: Bitmap) -> np.ndarray:
    """Return the mask of a bitmap's own size, bool ``[h, w]``."""
    inside = np.arange(len(shape.runs)) % 2 == 1
    return np.repeat(inside, shape.runs).reshape(shape.size)


def extent(geometry: Geometry) -> tuple[float, float, float, float]:
    """Return the box around a shape: x1, y1, x2, y2 in pixels."""
    if isinstance(geometry, Bitmap):
        height, width = geometry.size
        return geometry.left, geometry.top, geometry.left + width, geometry.top + height
    (x1, y1), (x2, y2) = geometry.rings[0].min(0), geometry.rings[0].max(0)
    return float(x1), float(y1), float(x2), float(y2)


def area(geometry: Geometry) -> float:
    """Return the area of a shape in pixels, without its holes."""
    if isinstance(geometry, Bitmap):
        return float(geometry.runs[1::2].sum())
    outline, *holes = map(_shoelace, geometry.rings)
    return max(0.0, outline - sum(holes))


def _shoelace(corners: np.ndarray) -> float:
    x, y = corners[:, 0], corners[:, 1]
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2
