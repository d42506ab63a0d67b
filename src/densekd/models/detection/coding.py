"""Box coding: boxes as distances from points and as deltas from anchors, encoded and decoded."""

import math

import torch
from torch import Tensor

# Log of the largest factor on an anchor's side (1000 / 16 pixels): exponentials stay finite.
_LARGEST = math.log(1000 / 16)


def decode_distances(points: Tensor, distances: Tensor) -> Tensor:
    """Return the boxes ``[..., 4]`` around points.

    Args:
        points: ``[..., 2]``.
        distances: ``[..., 4]`` of the left, top, right and bottom side.
    """
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)


def encode_distances(points: Tensor, boxes: Tensor) -> Tensor:
    """Return the distances ``[N, 4]`` (left, top, right, bottom) of a box's sides from its point.

    Args:
        points: ``[N, 2]``.
        boxes: ``[N, 4]``.
    """
    return torch.cat([points - boxes[:, :2], boxes[:, 2:] - points], 1)


def decode_deltas(anchors: Tensor, deltas: Tensor) -> Tensor:
    """Move and stretch anchors (R-CNN, arXiv 1311.2524, appendix C).

    Args:
        anchors: ``[..., 4]``.
        deltas: ``[..., 4]``: shift of the center in widths and heights, log factor on width and
            height.
    """
    size = anchors[..., 2:] - anchors[..., :2]
    center = (anchors[..., :2] + anchors[..., 2:]) / 2 + deltas[..., :2] * size
    half = size * deltas[..., 2:].clamp(-_LARGEST, _LARGEST).exp() / 2
    return torch.cat([center - half, center + half], -1)


def encode_deltas(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Return the deltas ``[N, 4]`` that turn ``anchors [N, 4]`` into ``boxes [N, 4]``."""
    size = anchors[:, 2:] - anchors[:, :2]
    wanted = boxes[:, 2:] - boxes[:, :2]
    # Twice the centers' distance: the sum of both corners of one less those of the other.
    shift = ((boxes[:, :2] + boxes[:, 2:]) - (anchors[:, :2] + anchors[:, 2:])) / 2 / size
    return torch.cat([shift, (wanted / size).log()], 1)


def clip(boxes: Tensor, size: Tensor) -> Tensor:
    """Clip ``boxes [..., 4]`` to an image of ``size`` (height, width)."""
    height, width = size.to(boxes)
    limit = torch.stack([width, height, width, height])
    return boxes.clamp(min=0).minimum(limit)
