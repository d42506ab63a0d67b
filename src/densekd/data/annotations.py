"""Box annotations of one image as its file has them, and the boxes that a detector is trained on."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# The width of a box that is one pixel wide, but for the rounding of its float32 corners.
_PIXEL = 1 - 1e-3


class Annotations(NamedTuple):
    """All boxes of one image at its original size, as scorers want them; see :func:`training_boxes`.

    Shape:
        boxes: float32 ``[N, 4]``, corners x1, y1, x2, y2 in pixels; labels: int64 ``[N]``; crowd:
        bool ``[N]``, groups that are neither learned nor count as missed; area: float64 ``[N]`` in
        pixels, by which scorers tell sizes apart (COCO's is that of the mask).
    """

    boxes: np.ndarray
    labels: np.ndarray
    crowd: np.ndarray
    area: np.ndarray


class Annotation(NamedTuple):
    """One box as a file has it: corners, class, whether it is a crowd, and its area in pixels."""

    box: tuple[float, float, float, float]
    label: int
    crowd: bool
    area: float


def stacked(found: Sequence[Annotation]) -> Annotations:
    """Stack the boxes of one image, of which there may be none, into arrays."""
    N = len(found)
    boxes = np.zeros((N, 4), np.float32)
    labels = np.zeros(N, np.int64)
    crowd = np.zeros(N, np.bool_)
    area = np.zeros(N, np.float64)
    for k, annotation in enumerate(found):
        boxes[k], labels[k], crowd[k], area[k] = annotation
    return Annotations(boxes, labels, crowd, area)


def clipped(boxes: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Clip boxes ``[N, 4]`` to an image (height, width)."""
    height, width = size
    return boxes.clip(0, np.array([width, height, width, height], boxes.dtype))


def learnable(truth: Annotations, size: tuple[int, int]) -> np.ndarray:
    """Mark the boxes of an image (height, width) that a detector is trained on: bool ``[N]``.

    Left out are, as in mmdetection's datasets, crowds, boxes less than a pixel wide or high or
    without area, and boxes without a part inside the image.
    """
    sides = truth.boxes[:, 2:] - truth.boxes[:, :2]
    # A box that is clipped to nothing lies outside the image.
    inside = clipped(truth.boxes, size)
    visible = inside[:, 2:] > inside[:, :2]
    keep: np.ndarray = ~truth.crowd & (truth.area > 0) & (sides >= _PIXEL).all(1) & visible.all(1)
    return keep


def training_boxes(truth: Annotations, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Select the boxes to train on: float32 ``[N, 4]``, clipped, and labels int64 ``[N]``."""
    keep = learnable(truth, size)
    return clipped(truth.boxes[keep], size), truth.labels[keep]
