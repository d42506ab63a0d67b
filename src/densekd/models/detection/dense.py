"""Parts of one-stage (dense) heads: towers of convolutions, rows of maps, candidates, matches."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from densekd.models.detection.coding import clip
from densekd.models.detection.selection import Selection, concatenate, suppress, top_scores
from densekd.ops.boxes import Boxes, Detections


class Maps(NamedTuple):
    """Raw output of a dense head, by level.

    Shape:
        cls: ``[B, shapes * C, H_l, W_l]`` logits; reg: ``[B, shapes * R, H_l, W_l]``; of a position
        first all values of its first shape of anchor.
    """

    cls: tuple[Tensor, ...]
    reg: tuple[Tensor, ...]


def tower(channels: int, depth: int, block: Callable[[int], nn.Module]) -> nn.Sequential:
    """Stack ``depth`` blocks of ``channels``."""
    blocks = nn.Sequential()
    for _ in range(depth):
        blocks.append(block(channels))
    return blocks


def classifier(channels: int, outputs: int) -> nn.Conv2d:
    """3x3 convolution whose sigmoid starts at the prior probability 0.01.

    See arXiv 1708.02002, section 4.1. Background is so common that an even start would drown the
    positives' loss.
    """
    conv = normal_init(nn.Conv2d(channels, outputs, 3, padding=1))
    nn.init.constant_(conv.bias, -math.log(0.99 / 0.01))  # type: ignore[arg-type]
    return conv


def normal_init(conv: nn.Conv2d) -> nn.Conv2d:
    """Initialize with small normal weights and no bias, as all convolutions of dense heads are."""
    nn.init.normal_(conv.weight, std=0.01)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv


def permute_and_flatten(x: Tensor, width: int) -> Tensor:
    """Turn a map ``[B, K * width, H, W]`` into one row per anchor, ``[B, H * W * K, width]``."""
    # Not len(x): an export would take the batch for a constant.
    return x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, width)


def flatten_levels(maps: Sequence[Tensor], width: int) -> Tensor:
    """Turn the maps of all levels into one row per anchor, float32 ``[B, A, width]``."""
    return torch.cat([permute_and_flatten(x, width) for x in maps], 1).float()


def detections(
    maps: Maps, num_classes: int, boxes: list[Tensor], sizes: Tensor, selection: Selection
) -> list[Detections]:
    """Return the detections of each image after non-maximum suppression.

    Args:
        maps: the raw output.
        num_classes: C.
        boxes: decoded, of each level, ``[B, P_l, 4]``.
        sizes: ``[B, 2]`` of the images.
        selection: thresholds and numbers.
    """
    images = candidates(maps, num_classes, boxes, sizes, selection)
    return [suppress(found, selection) for found in images]


def candidates(
    maps: Maps, num_classes: int, boxes: list[Tensor], sizes: Tensor, selection: Selection
) -> list[Detections]:
    """Return the best pairs of box and class of each image before suppression.

    Arguments as of :func:`detections`.
    """
    scores = []
    for cls in maps.cls:
        scores.append(permute_and_flatten(cls, num_classes).sigmoid())
    images = []
    for image, size in enumerate(sizes):
        # The best of every level, so that the many fine positions do not crowd out the rest.
        levels = []
        for score, box in zip(scores, boxes, strict=True):
            kept, place, label = top_scores(score[image], selection)
            levels.append(Detections(clip(box[image, place], size), kept, label))
        images.append(concatenate(levels))
    return images


def matched_boxes(target: Boxes, assigned: Tensor, places: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Return box ``[P, 4]`` and label ``[P]`` of every position that has one, image by image.

    Args:
        target: the boxes of the batch.
        assigned: ``[B, A]`` number of the box within its image, or negative.
        places: image and position ``[P]`` of those that have one: ``(assigned >= 0).nonzero(as_tuple=True)``.
    """
    # Numbers within an image become numbers within the batch: the images before it come first.
    numbers: list[Tensor] = []
    first = 0
    for image, boxes in zip(assigned, target.boxes, strict=True):
        numbers.append(image + first)
        first += len(boxes)
    number = torch.stack(numbers)[places]
    return torch.cat(target.boxes)[number], torch.cat(target.labels)[number]


def zero_regression_loss(maps: Maps) -> Tensor:
    """Return zero, with a graph to every weight of the regression.

    A batch without boxes would otherwise leave weights without gradient, which DDP refuses.
    """
    return torch.stack([x.sum() for x in maps.reg]).sum() * 0
