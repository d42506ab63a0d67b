"""Boxes: what a detector learns from and what it finds. Corners ``(x1, y1, x2, y2)`` in pixels, x to the right."""

from typing import NamedTuple

from torch import Tensor


class Boxes(NamedTuple):
    """The labels of a batch of images: the ``target`` of detection.

    Args:
        boxes: of each image, float32 ``[N, 4]`` in pixels of the batch's images; N may be 0.
        labels: of each image, int64 ``[N]``, 0..C-1.
        sizes: int64 ``[B, 2]``: height and width of each image before it was padded to the batch's size.
    """

    boxes: list[Tensor]
    labels: list[Tensor]
    sizes: Tensor


class Detections(NamedTuple):
    """What a detector finds in one image, best score first.

    Shape:
        boxes: float32 ``[N, 4]``; scores: float32 ``[N]``, in [0, 1]; labels: int64 ``[N]``.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
