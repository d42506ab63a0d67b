"""Scatter plots as SVG paths: one for each group of points."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from densekd.tasks.pixel_groups import PixelGroups

# The drawing in its own units.
SIDE, _MARGIN = 320, 8


@dataclass(frozen=True)
class Cloud:
    """The points of one group: an SVG path of dots."""

    name: str
    color: str
    path: str


@dataclass(frozen=True)
class Scatter:
    """One scatter plot; ``note`` stands in for the points where there are none."""

    clouds: tuple[Cloud, ...]
    note: str


def scatter_plot(points: Tensor, groups: Tensor, pixels: PixelGroups) -> Scatter:
    """Place points ``[N, 2]`` in the drawing, group by group, the largest group below."""
    low, high = points.amin(0), points.amax(0)
    # One scale for both axes: distances are what is looked at.
    span = float((high - low).amax().clamp(min=1e-12))
    middle = (low + high) / 2
    places = (points - middle) / span * (SIDE - 2 * _MARGIN) + SIDE / 2
    counts = torch.bincount(groups, minlength=len(pixels.names))
    clouds: list[Cloud] = []
    for group in counts.argsort(descending=True, stable=True).tolist():
        if not counts[group]:
            continue
        # A line of no length with round ends is a dot.
        dots = [f"M{x:.1f} {SIDE - y:.1f}h0" for x, y in places[groups == group].tolist()]
        clouds.append(Cloud(pixels.names[group], css_color(pixels.colors[group]), "".join(dots)))
    return Scatter(tuple(clouds), "")


def css_color(color: Sequence[int]) -> str:
    """Write an RGB color for a style sheet."""
    red, green, blue = color
    return f"rgb({red},{green},{blue})"
