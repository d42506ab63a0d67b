"""Adaptive training sample selection: which anchors learn which box (Zhang et al., CVPR 2020, arXiv 1912.02424)."""

from collections.abc import Sequence

import torch
from torch import Tensor

NOBODY = -1


def box_iou(a: Tensor, b: Tensor) -> Tensor:
    """Return the overlap of each pair of ``[A, 4]`` and ``[N, 4]`` over their union, ``[A, N]`` in [0, 1].

    A union below 1e-6 counts as 1e-6, as in mmdetection: boxes without area overlap nothing.
    """
    overlap = (torch.minimum(a[:, None, 2:], b[:, 2:]) - torch.maximum(a[:, None, :2], b[:, :2])).clamp(min=0).prod(2)
    union = _area(a)[:, None] + _area(b) - overlap
    return overlap / union.clamp(min=1e-6)


def box_diou(a: Tensor, b: Tensor) -> Tensor:
    """Return the IoU less the squared distance of the centers over that of the hull's corners (arXiv 1911.08287)."""
    apart = (_centers(a)[:, None] - _centers(b)).square().sum(2)
    hull = torch.maximum(a[:, None, 2:], b[:, 2:]) - torch.minimum(a[:, None, :2], b[:, :2])
    return box_iou(a, b) - apart / hull.square().sum(2).clamp(min=1e-6)


def atss(anchors: Tensor, per_level: Sequence[int], boxes: Tensor, top_k: int = 9) -> Tensor:
    """Assign each anchor to a box or to none.

    Candidates of a box are, on each level, the ``top_k`` anchors nearest by their centers. Of these it takes the ones
    whose IoU with it reaches :func:`iou_threshold` and whose centers lie inside it by more than 0.01 pixels. An anchor
    that several boxes take goes to the one it overlaps most.

    Args:
        anchors: ``[A, 4]`` in pixels, levels in their order.
        per_level: how many anchors each level has; sums to A.
        boxes: ``[N, 4]`` in pixels; N may be 0.
        top_k: candidates per level and box.

    Returns:
        int64 ``[A]``: index of the box, -1 for none.
    """
    if not len(boxes):
        return anchors.new_full((len(anchors),), NOBODY, dtype=torch.int64)
    iou, candidates = box_iou(anchors, boxes), nearest_anchors(anchors, per_level, boxes, top_k)
    centers = _centers(anchors)[:, None]
    inside = torch.cat((centers - boxes[:, :2], boxes[:, 2:] - centers), 2).amin(2) > 0.01
    chosen = iou.gather(0, candidates) >= iou_threshold(iou, candidates)
    return most_overlapping(iou, torch.zeros_like(inside).scatter(0, candidates, chosen) & inside)


def valuable_region(anchors: Tensor, per_level: Sequence[int], boxes: Tensor, share: float, top_k: int = 9) -> Tensor:
    """Return the IoU of anchors that overlap a box somewhat, though less than those that learn it.

    Those are all whose DIoU with a box is at least ``share`` of its :func:`iou_threshold` and below the threshold: the
    valuable localization region (arXiv 2102.12252, algorithm 1). Other arguments are those of :func:`atss`.

    Returns:
        ``[A]``: the largest IoU with such a box, 0 without one.
    """
    if not len(boxes):
        return anchors.new_zeros(len(anchors))
    iou, diou = box_iou(anchors, boxes), box_diou(anchors, boxes)
    threshold = iou_threshold(iou, nearest_anchors(anchors, per_level, boxes, top_k))
    return iou.where((diou >= share * threshold) & (diou < threshold), 0).amax(1)


def nearest_anchors(anchors: Tensor, per_level: Sequence[int], boxes: Tensor, top_k: int) -> Tensor:
    """Return the indices of the ``top_k`` anchors of each level (all, if fewer) nearest to each box, ``[K, N]``."""
    distances = (_centers(anchors)[:, None] - _centers(boxes)).square().sum(2).sqrt()
    found, start = [], 0
    for level in torch.split(distances, list(per_level)):
        found.append(level.topk(min(top_k, len(level)), 0, largest=False).indices + start)
        start += len(level)
    return torch.cat(found)


def iou_threshold(iou: Tensor, candidates: Tensor) -> Tensor:
    """Return mean plus unbiased standard deviation of the IoU ``[A, N]`` over candidates ``[K, N]``, for each box."""
    overlaps = iou.gather(0, candidates)
    return overlaps.mean(0) + overlaps.std(0)


def most_overlapping(iou: Tensor, taken: Tensor) -> Tensor:
    """Return, of the boxes that take an anchor, the one it overlaps most, -1 for none: both ``[A, N]`` -> ``[A]``."""
    best, index = iou.where(taken, -1.0).max(1)
    return index.where(best >= 0, NOBODY)


def _centers(boxes: Tensor) -> Tensor:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)
