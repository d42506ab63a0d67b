"""Pinhole camera and canvas of a synthetic scene: shapes in meters become class, color and depth.

The world is measured in meters: ``x`` to the right of the camera, ``y`` above the ground, ``z``
ahead. The inverse depth of a flat surface is linear in the image, so that each paint carries three
numbers ``(a, b, c)`` with ``1 / z = a * u + b * v + c``, where ``u`` and ``v`` are the column and
the row divided by the image height.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from densekd.data.demo.classes import NAMES
from densekd.data.demo.colors import Floats

SAMPLES = 2  # the canvas has this many samples a side in each pixel

Span = tuple[float, float]
Spot = tuple[float, float]  # x and z of an object's foot
Plane = tuple[float, float, float]  # inverse depth: (a, b, c) as above

_AT_INFINITY: Plane = (0.0, 0.0, 0.0)


class Canvas:
    """A picture of paint numbers; each paint has a class, a color and a plane, later ones hide it.

    Args:
        rng: source of the camera's place, the weather and the street's width.
        size: height and width of the image in pixels.
    """

    def __init__(self, rng: np.random.Generator, size: tuple[int, int]) -> None:
        self.rng = rng
        self.size = size
        height, width = size
        self.unit = float(height * SAMPLES)
        # Camera: height above the ground in meters, and vanishing point in image heights.
        self.eye = rng.uniform(1.6, 2.6)
        self.origin = (width / height * rng.uniform(0.3, 0.7), rng.uniform(0.36, 0.5))
        # Weather: color of the haze, and the distance in meters at which 1/e of a color is left.
        self.haze = np.full(3, rng.uniform(0.55, 0.95)) * rng.uniform(0.92, 1.0, 3)
        self.sight = rng.uniform(60.0, 200.0)
        # Street: half its width up to the kerb, and up to the house fronts.
        self.kerb = rng.uniform(2.5, 4.0)
        self.wall = self.kerb + rng.uniform(2.5, 5.5)
        self.classes: list[int] = []
        self.colors: list[Floats] = []
        self.planes: list[Plane] = []
        self.picture = Image.new("I", (width * SAMPLES, height * SAMPLES))
        self.pen = ImageDraw.Draw(self.picture)

    def paint(self, name: str, color: Floats, z: float) -> int:
        """Mix a paint for objects ``z`` meters away (far ones fade into the haze); its number."""
        clear = float(np.exp(-z / self.sight))
        self.classes.append(NAMES.index(name))
        self.colors.append(color * clear + self.haze * (1.0 - clear))
        self.planes.append(_AT_INFINITY)
        return len(self.classes) - 1

    def project(self, x: float, y: float, z: float) -> tuple[float, float]:
        """Project a point in space to canvas coordinates."""
        column = self.unit * (self.origin[0] + x / z)
        row = self.unit * (self.origin[1] + (self.eye - y) / z)
        return column, row

    def floor(self, paint: int, x: Span, z: Span) -> None:
        """Fill a rectangle on the ground."""
        self.planes[paint] = (0.0, 1.0 / self.eye, -self.origin[1] / self.eye)
        corners = [(x[0], 0.0, z[0]), (x[1], 0.0, z[0]), (x[1], 0.0, z[1]), (x[0], 0.0, z[1])]
        self._polygon(paint, corners)

    def wall_panel(self, paint: int, x: float, y: Span, z: Span) -> None:
        """Fill an upright rectangle along the street, ``x`` to its right."""
        self.planes[paint] = (1.0 / x, 0.0, -self.origin[0] / x)
        self._polygon(paint, [(x, y[0], z[0]), (x, y[0], z[1]), (x, y[1], z[1]), (x, y[1], z[0])])

    def facing(self, paint: int, spot: Spot, outline: Sequence[tuple[float, float]]) -> None:
        """Fill a polygon that faces the camera at ``spot``; corners in meters from its foot."""
        self._set_distance(paint, spot)
        self._polygon(paint, [(spot[0] + x, y, spot[1]) for x, y in outline])

    def box(self, paint: int, spot: Spot, edges: tuple[float, float, float, float]) -> None:
        """Fill a facing rectangle ``(left, bottom, right, top)``."""
        left, bottom, right, top = edges
        self.facing(paint, spot, [(left, bottom), (right, bottom), (right, top), (left, top)])

    def oval(self, paint: int, spot: Spot, shape: tuple[float, float, float, float]) -> None:
        """Fill a facing oval ``(center x, center y, half width, half height)``."""
        self._set_distance(paint, spot)
        x, y, half_width, half_height = shape
        left, top = self.project(spot[0] + x - half_width, y + half_height, spot[1])
        right, bottom = self.project(spot[0] + x + half_width, y - half_height, spot[1])
        self.pen.ellipse((left, top, right, bottom), fill=paint)

    def line(self, paint: int, spot: Spot, ends: tuple[float, float, float, float]) -> None:
        """Draw a tube from ``(x, y)`` to ``(x, y)``, never so thin that it vanishes."""
        self._set_distance(paint, spot)
        start = self.project(spot[0] + ends[0], ends[1], spot[1])
        end = self.project(spot[0] + ends[2], ends[3], spot[1])
        width = max(2, round(0.07 * self.unit / spot[1]))
        self.pen.line((*start, *end), fill=paint, width=width)

    def _set_distance(self, paint: int, spot: Spot) -> None:
        """Put a paint on the plane that faces the camera at ``spot``."""
        self.planes[paint] = (0.0, 0.0, 1.0 / spot[1])

    def _polygon(self, paint: int, corners: Sequence[tuple[float, float, float]]) -> None:
        self.pen.polygon([self.project(*corner) for corner in corners], fill=paint)
