"""Depth maps in color: near is bright, far is dark, what was not measured is black."""

import numpy as np
from PIL import Image

# Of matplotlib's inferno, whose brightness rises evenly: far, ..., near.
_RAMP = np.array(
    [
        (0, 0, 4),
        (40, 11, 84),
        (101, 21, 110),
        (159, 42, 99),
        (212, 72, 66),
        (245, 125, 21),
        (250, 193, 39),
        (252, 255, 164),
    ],
    dtype=np.float64,
)
# Percent of the values at either end that may lie beyond the ramp: one bright pixel does not darken
# a picture.
_TAIL = 2
# Relative error that is shown in full red.
_LARGE = 0.5

LEGEND = {
    "near": (252, 255, 164),
    "middle": (185, 57, 83),
    "far": (20, 6, 44),
    "not measured": (0, 0, 0),
}


def value_range(values: np.ndarray) -> tuple[float, float]:
    """Return the ends of the colors: the 2nd and 98th percentile of some values, 0 and 1 of none."""
    if not values.size:
        return 0.0, 1.0
    low, high = np.percentile(values, (_TAIL, 100 - _TAIL))
    return float(low), float(max(high, low + 1e-12))


def color_map(nearness: np.ndarray, ends: tuple[float, float]) -> np.ndarray:
    """Color a map: ``ends[0]`` and less is dark, ``ends[1]`` and more bright.

    Args:
        nearness: ``[H, W]``, larger where nearer.
        ends: see :func:`value_range`.

    Returns:
        uint8 RGB ``[H, W, 3]``.
    """
    # Where each value lies on the ramp, from its first color to its last.
    low, high = ends
    place = ((nearness - low) / (high - low)).clip(0, 1) * (len(_RAMP) - 1)
    stops = np.arange(len(_RAMP))
    red = np.interp(place, stops, _RAMP[:, 0])
    green = np.interp(place, stops, _RAMP[:, 1])
    blue = np.interp(place, stops, _RAMP[:, 2])
    return np.stack([red, green, blue], -1).round().astype(np.uint8)


def depth_picture(depth: np.ndarray, ends: tuple[float, float]) -> Image.Image:
    """Color depths ``[H, W]`` by their inverse, whose range is ``ends``.

    Where nothing was measured, it is black.
    """
    known = depth > 0
    nearness = np.divide(1, depth, out=np.zeros_like(depth), where=known)
    colors = color_map(nearness, ends)
    return Image.fromarray(np.where(known[..., None], colors, 0).astype(np.uint8))


def overlay(image: np.ndarray, nearness: np.ndarray) -> Image.Image:
    """Blend a map in color over an RGB image ``[H, W, 3]``, half and half."""
    colors = Image.fromarray(color_map(nearness, value_range(nearness)))
    return Image.blend(Image.fromarray(image), colors, 0.5)


def error_picture(depth: np.ndarray, truth: np.ndarray) -> Image.Image:
    """Show where depths ``[H, W]`` are wrong: white is right, red is half as far again or more.

    Where nothing was measured, it is black.
    """
    known = truth > 0
    error = np.divide(abs(depth - truth), truth, out=np.zeros_like(truth), where=known)
    # From white to red by the relative error.
    share = (error / _LARGE).clip(0, 1)[..., None]
    colors = 255 * (1 - share) + np.array((200, 30, 30)) * share
    return Image.fromarray(np.where(known[..., None], colors, 0).round().astype(np.uint8))
