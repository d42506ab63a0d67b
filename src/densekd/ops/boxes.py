"""Bounding boxes: labels and detections, areas, centers and intersection over union (IoU).

A box is its corners ``(x1, y1, x2, y2)`` in pixels, x to the right and y down.
"""

# M, N numbers of boxes, a [M, 4] and b [N, 4]; paired: N partners of one shape

from typing import NamedTuple

import torch
from torch import Tensor

# A union or hull below counts as this, as in mmdetection: boxes without area overlap nothing.
_EPS = 1e-6


class Boxes(NamedTuple):
    """The labels of a batch of images: the ``target`` of detection.

    Args:
        boxes: of each image, float32 ``[N, 4]`` in pixels of the batch's images; N may be 0.
        labels: of each image, int64 ``[N]``, 0..C-1.
        sizes: int64 ``[B, 2]``: height and width of each image before it was padded to the batch's
            size.
    """

    boxes: list[Tensor]
    labels: list[Tensor]
    sizes: Tensor


class Detections(NamedTuple):
    """The detections of one image, best score first.

    Shape:
        boxes: float32 ``[N, 4]``; scores: float32 ``[N]``, in [0, 1]; labels: int64 ``[N]``.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor


def box_area(boxes: Tensor) -> Tensor:
    """Return the areas of boxes, ``[N, 4]`` -> ``[N]``."""
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def box_centers(boxes: Tensor) -> Tensor:
    """Return the centers (x, y) of boxes, ``[N, 4]`` -> ``[N, 2]``."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def box_intersection(a: Tensor, b: Tensor) -> Tensor:
    """Return the area that each pair of boxes shares: ``[M, 4]``, ``[N, 4]`` -> ``[M, N]``."""
    start = torch.maximum(a[:, None, :2], b[:, :2])
    end = torch.minimum(a[:, None, 2:], b[:, 2:])
    return (end - start).clamp(min=0).prod(2)


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of each pair of boxes: ``[M, 4]``, ``[N, 4]`` -> ``[M, N]`` in [0, 1]."""
    overlap = box_intersection(a, b)
    union = box_area(a)[:, None] + box_area(b) - overlap
    return overlap / union.clamp(min=_EPS)


def box_diou(a: Tensor, b: Tensor) -> Tensor:
    """Return the distance IoU of each pair: ``[M, 4]``, ``[N, 4]`` -> ``[M, N]`` in [-1, 1].

    IoU less the squared distance of the centers over the squared diagonal of the smallest box
    around both (arXiv 1911.08287).
    """
    distance = (box_centers(a)[:, None] - box_centers(b)).square().sum(2)
    hull = torch.maximum(a[:, None, 2:], b[:, 2:]) - torch.minimum(a[:, None, :2], b[:, :2])
    diagonal = hull.square().sum(2)
    return box_iou(a, b) - distance / diagonal.clamp(min=_EPS)


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU of each box with its partner: ``[N, 4]`` twice -> ``[N]`` in [0, 1]."""
    start = torch.maximum(a[:, :2], b[:, :2])
    end = torch.minimum(a[:, 2:], b[:, 2:])
    overlap = (end - start).clamp(min=0).prod(1)
    union = box_area(a) + box_area(b) - overlap
    return overlap / union.clamp(min=_EPS)
