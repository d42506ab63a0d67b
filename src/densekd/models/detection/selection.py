"""From scores and boxes at every position to the detections of an image."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from densekd.ops.boxes import Detections


@dataclass(frozen=True)
class Selection:
    """Which of a head's boxes are kept.

    Args:
        nms_iou: of two boxes of one class that overlap more, the one of lower score goes.
        score: boxes below are not looked at.
        per_level: best pairs of position and class that are kept of each level.
        most: detections per image.
    """

    nms_iou: float
    score: float = 0.05
    per_level: int = 1000
    most: int = 100


def best_of_level(scores: Tensor, selection: Selection) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores, places and classes of the best pairs of one level of one image, best first.

    Args:
        scores: ``[P, C]`` in [0, 1].
        selection: threshold and number.
    """
    place, label = (scores > selection.score).nonzero(as_tuple=True)
    kept, order = scores[place, label].sort(descending=True)
    order, kept = order[: selection.per_level], kept[: selection.per_level]
    return kept, place[order], label[order]


def suppress(found: Detections, selection: Selection) -> Detections:
    """Drop boxes without area, and within each class those that a better one covers; keep the best of the rest."""
    real = (found.boxes[:, 2:] > found.boxes[:, :2]).all(1)
    boxes, scores, labels = (x[real] for x in found)
    keep = batched_nms(boxes.float(), scores.float(), labels, selection.nms_iou)[: selection.most]
    return Detections(boxes[keep].float(), scores[keep].float(), labels[keep])


def joined(parts: list[Detections]) -> Detections:
    """Return the boxes of all levels as one."""
    return Detections(*(torch.cat(column) for column in zip(*parts, strict=True)))
