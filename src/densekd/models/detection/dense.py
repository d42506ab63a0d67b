"""What GFL and RetinaNet share: two towers of convolutions over all levels, and boxes from their maps."""

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from densekd.models.detection.coding import clip
from densekd.models.detection.selection import Selection, best_of_level, joined, suppress
from densekd.ops.boxes import Boxes, Detections


class Maps(NamedTuple):
    """The raw output of a dense head, by level.

    Shape:
        cls: ``[B, shapes * C, H_l, W_l]`` logits; reg: ``[B, shapes * R, H_l, W_l]``; of a position first all values
        of its first shape.
    """

    cls: tuple[Tensor, ...]
    reg: tuple[Tensor, ...]


def tower(channels: int, depth: int, block: Callable[[int], nn.Module]) -> nn.Sequential:
    """Stack ``depth`` blocks of ``channels``."""
    return nn.Sequential(*(block(channels) for _ in range(depth)))


def classifier(channels: int, outputs: int) -> nn.Conv2d:
    """3x3 convolution whose sigmoid begins at 0.01: background is common (RetinaNet, arXiv 1708.02002, section 4.1)."""
    conv = small(nn.Conv2d(channels, outputs, 3, padding=1))
    nn.init.constant_(conv.bias, -math.log(0.99 / 0.01))  # type: ignore[arg-type]
    return conv


def small(conv: nn.Conv2d) -> nn.Conv2d:
    """Begin with small weights, as all convolutions of dense heads do."""
    nn.init.normal_(conv.weight, std=0.01)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def rows(x: Tensor, width: int) -> Tensor:
    """Turn a map ``[B, K * width, H, W]`` into ``[B, H * W * K, width]``."""
    return x.permute(0, 2, 3, 1).reshape(len(x), -1, width)


def detections(
    maps: Maps, num_classes: int, boxes: list[Tensor], sizes: Tensor, selection: Selection
) -> list[Detections]:
    """Return what survives in each image.

    Args:
        maps: the raw output.
        num_classes: C.
        boxes: decoded, of each level, ``[B, P_l, 4]``.
        sizes: ``[B, 2]`` of the images.
        selection: what is kept.
    """
    found = candidates(maps, num_classes, boxes, sizes, selection)
    return [suppress(one, selection) for one in found]


def candidates(
    maps: Maps, num_classes: int, boxes: list[Tensor], sizes: Tensor, selection: Selection
) -> list[Detections]:
    """Return the best pairs of box and class of each image before overlaps are looked at; as :func:`detections`."""
    scores = [rows(cls, num_classes).sigmoid() for cls in maps.cls]
    images = []
    for image, size in enumerate(sizes):
        parts = []
        for score, box in zip(scores, boxes, strict=True):
            kept, place, label = best_of_level(score[image], selection)
            parts.append(Detections(clip(box[image, place], size), kept, label))
        images.append(joined(parts))
    return images


def matched(target: Boxes, assigned: Tensor) -> tuple[Tensor, Tensor]:
    """Return box ``[P, 4]`` and label ``[P]`` of every position that has one, image by image.

    Args:
        target: the boxes of the batch.
        assigned: ``[B, A]`` number of the box within its image, or negative.
    """
    counts = torch.tensor([0, *(len(boxes) for boxes in target.boxes[:-1])], device=assigned.device)
    number = (assigned + counts.cumsum(0)[:, None])[assigned >= 0]
    return torch.cat(target.boxes)[number], torch.cat(target.labels)[number]


def no_boxes(maps: Maps) -> Tensor:
    """Return zero, with a graph to every weight of the regression."""
    return torch.stack([x.sum() for x in maps.reg]).sum() * 0
