"""Post-processing of detections: threshold, top-k per level, non-maximum suppression (NMS)."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from densekd.ops.boxes import Detections


@dataclass(frozen=True)
class Selection:
    """Thresholds and numbers of the boxes that are kept.

    Args:
        nms_iou: of two boxes of one class that overlap more, the one of lower score goes.
        score: boxes of lower score go.
        per_level: best pairs of position and class that are kept of each level.
        most: detections per image.
    """

    nms_iou: float
    score: float = 0.05
    per_level: int = 1000
    most: int = 100


def top_scores(scores: Tensor, selection: Selection) -> tuple[Tensor, Tensor, Tensor]:
    """Return scores, positions and classes of the best pairs of one level of one image, best first.

    Args:
        scores: ``[P, C]`` in [0, 1].
        selection: threshold and number.
    """
    # A position may stay under several classes.
    place, label = (scores > selection.score).nonzero(as_tuple=True)
    kept, order = scores[place, label].sort(descending=True)
    kept = kept[: selection.per_level]
    order = order[: selection.per_level]
    return kept, place[order], label[order]


def suppress(found: Detections, selection: Selection) -> Detections:
    """Non-maximum suppression within each class; boxes without area go, the best stay."""
    # Clipping to the image may have left nothing of a box.
    real = (found.boxes[:, 2:] > found.boxes[:, :2]).all(1)
    boxes = found.boxes[real].float()
    scores = found.scores[real].float()
    labels = found.labels[real]
    # Best score first, so the first ones are the best.
    keep = batched_nms(boxes, scores, labels, selection.nms_iou)[: selection.most]
    return Detections(boxes[keep], scores[keep], labels[keep])


def concatenate(levels: list[Detections]) -> Detections:
    """Return the boxes of all levels as one."""
    boxes = torch.cat([level.boxes for level in levels])
    scores = torch.cat([level.scores for level in levels])
    labels = torch.cat([level.labels for level in levels])
    return Detections(boxes, scores, labels)
