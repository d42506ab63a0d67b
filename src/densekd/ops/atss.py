"""Adaptive training sample selection (ATSS): label assignment (arXiv 1912.02424, algorithm 1)."""

# A anchors of all levels, N boxes of an image, K candidates of a box

from collections.abc import Sequence

import torch
from torch import Tensor

from densekd.ops.boxes import box_centers, box_diou, box_iou

NOBODY = -1


def atss(anchors: Tensor, per_level: Sequence[int], boxes: Tensor, top_k: int = 9) -> Tensor:
    """Assign each anchor to a box or to none.

    Candidates of a box are, on each level, the ``top_k`` anchors nearest by their centers. Of these
    it takes the ones whose IoU with it reaches :func:`iou_threshold` and whose centers lie inside
    it by more than 0.01 pixels. An anchor that several boxes take goes to the one it overlaps most.

    Args:
        anchors: ``[A, 4]`` in pixels, levels in their order.
        per_level: number of anchors of each level; sums to A.
        boxes: ``[N, 4]`` in pixels; N may be 0.
        top_k: candidates per level and box.

    Returns:
        int64 ``[A]``: index of the box, -1 for none.
    """
    if not len(boxes):
        return anchors.new_full((len(anchors),), NOBODY, dtype=torch.int64)
    # Candidates of each box [K, N], and which of them overlap it enough.
    iou = box_iou(anchors, boxes)
    candidates = nearest_anchors(anchors, per_level, boxes, top_k)
    chosen = iou.gather(0, candidates) >= iou_threshold(iou, candidates)
    # Anchors whose centers lie inside a box, [A, N]: the nearest side is on the right side of them.
    centers = box_centers(anchors)[:, None]
    inside = torch.cat((centers - boxes[:, :2], boxes[:, 2:] - centers), 2).amin(2) > 0.01
    # Back from candidates to all anchors.
    taken = torch.zeros_like(inside).scatter(0, candidates, chosen) & inside
    return most_overlapping(iou, taken)


def valuable_region(anchors: Tensor, per_level: Sequence[int], boxes: Tensor, share: float, top_k: int = 9) -> Tensor:
    """Return the IoU of anchors that overlap a box, though less than those assigned to it.

    Those are all whose DIoU with a box is at least ``share`` of its :func:`iou_threshold` and below
    the threshold: the valuable localization region (arXiv 2102.12252, algorithm 1). Other arguments
    are those of :func:`atss`.

    Returns:
        ``[A]``: the largest IoU with such a box, 0 without one.
    """
    if not len(boxes):
        return anchors.new_zeros(len(anchors))
    iou = box_iou(anchors, boxes)
    diou = box_diou(anchors, boxes)
    threshold = iou_threshold(iou, nearest_anchors(anchors, per_level, boxes, top_k))
    valuable = (diou >= share * threshold) & (diou < threshold)
    return iou.where(valuable, 0).amax(1)


def nearest_anchors(anchors: Tensor, per_level: Sequence[int], boxes: Tensor, top_k: int) -> Tensor:
    """Return the indices ``[K, N]`` of the ``top_k`` anchors of each level nearest to each box.

    A level that has fewer anchors gives all.
    """
    # Distances of all centers, [A, N].
    distances = (box_centers(anchors)[:, None] - box_centers(boxes)).square().sum(2).sqrt()
    candidates = []
    start = 0
    for level in torch.split(distances, list(per_level)):
        nearest = level.topk(min(top_k, len(level)), 0, largest=False).indices
        # From the level's own indices to those of all levels.
        candidates.append(nearest + start)
        start += len(level)
    return torch.cat(candidates)


def iou_threshold(iou: Tensor, candidates: Tensor) -> Tensor:
    """Return mean plus standard deviation of the IoU ``[A, N]`` over candidates ``[K, N]``."""
    overlaps = iou.gather(0, candidates)
    return overlaps.mean(0) + overlaps.std(0)


def most_overlapping(iou: Tensor, taken: Tensor) -> Tensor:
    """Return, of the boxes that take an anchor ``[A, N]``, the one it overlaps most, or -1."""
    best, index = iou.where(taken, -1.0).max(1)
    return index.where(best >= 0, NOBODY)
