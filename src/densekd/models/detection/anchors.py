"""Anchors: the boxes that a dense head starts from, and the two ways in which it changes them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Log of the largest factor on an anchor's side (1000 / 16 pixels): exponentials stay finite.
_LARGEST = math.log(1000 / 16)


@dataclass(frozen=True)
class Anchors:
    """Boxes of several shapes around every position of every level.

    Args:
        strides: of the levels.
        scales: side of a square anchor in strides.
        ratios: height over width; scales vary fastest.
    """

    strides: tuple[int, ...]
    scales: tuple[float, ...]
    ratios: tuple[float, ...] = (1.0,)

    @property
    def shapes(self) -> int:
        """Return the number of anchors at a position."""
        return len(self.scales) * len(self.ratios)

    def __call__(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the anchors of each level, ``[H_l * W_l * shapes, 4]``: row by row, the shapes of a position together.

        Args:
            maps: ``[B, C, H_l, W_l]`` of each level, for sizes and device. Position (0, 0) lies at the corner of the
                image, not half a stride inside.
        """
        return [self._level(x, stride) for x, stride in zip(maps, self.strides, strict=True)]

    def _level(self, x: Tensor, stride: int) -> Tensor:
        scales = torch.tensor(self.scales, device=x.device)
        heights = torch.tensor(self.ratios, device=x.device).sqrt()
        w = (stride * (1 / heights)[:, None] * scales).reshape(-1)
        h = (stride * heights[:, None] * scales).reshape(-1)
        around = torch.stack([-w, -h, w, h], 1) / 2
        rows, columns = (torch.arange(n, device=x.device) * stride for n in x.shape[-2:])
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        at = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
        return (at + around).reshape(-1, 4)


def centres(anchors: Tensor) -> Tensor:
    """Return the centres ``[N, 2]`` (x, y) of boxes ``[N, 4]``."""
    return (anchors[:, :2] + anchors[:, 2:]) / 2


def from_distances(points: Tensor, distances: Tensor) -> Tensor:
    """Return the boxes ``[..., 4]`` that reach ``distances`` (left, top, right, bottom) from ``points [..., 2]``."""
    return torch.cat([points - distances[..., :2], points + distances[..., 2:]], -1)


def to_distances(points: Tensor, boxes: Tensor) -> Tensor:
    """Return the distances (left, top, right, bottom) of the sides of ``boxes [N, 4]`` from ``points [N, 2]``."""
    return torch.cat([points - boxes[:, :2], boxes[:, 2:] - points], 1)


def from_deltas(anchors: Tensor, deltas: Tensor) -> Tensor:
    """Move and stretch anchors (Fast R-CNN, arXiv 1311.2524, appendix C).

    Args:
        anchors: ``[..., 4]``.
        deltas: ``[..., 4]``: shift of the centre in widths and heights, log factor on width and height.
    """
    size = anchors[..., 2:] - anchors[..., :2]
    centre = (anchors[..., :2] + anchors[..., 2:]) / 2 + deltas[..., :2] * size
    half = size * deltas[..., 2:].clamp(-_LARGEST, _LARGEST).exp() / 2
    return torch.cat([centre - half, centre + half], -1)


def to_deltas(anchors: Tensor, boxes: Tensor) -> Tensor:
    """Return the deltas ``[N, 4]`` that turn ``anchors [N, 4]`` into ``boxes [N, 4]``."""
    size, wanted = anchors[:, 2:] - anchors[:, :2], boxes[:, 2:] - boxes[:, :2]
    shift = ((boxes[:, :2] + boxes[:, 2:]) - (anchors[:, :2] + anchors[:, 2:])) / 2 / size
    return torch.cat([shift, (wanted / size).log()], 1)


def clip(boxes: Tensor, size: Tensor) -> Tensor:
    """Cut ``boxes [..., 4]`` off at the border of an image of ``size`` (height, width)."""
    height, width = size.to(boxes)
    limit = torch.stack([width, height, width, height])
    return boxes.clamp(min=0).minimum(limit)
