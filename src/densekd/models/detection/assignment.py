"""Label assignment by IoU: the box that each anchor learns, and the random sample that counts."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from densekd.ops.boxes import box_iou

BACKGROUND = -1
IGNORED = -2


@dataclass(frozen=True)
class MaxIoUAssigner:
    """Max-IoU label assignment: every anchor gets its best box, and every box its best anchors.

    Args:
        positive: least IoU of an anchor with its box.
        negative: anchors whose best IoU is lower are background; those between the two are ignored.
        least: IoU that the best anchors of a box need for the second rule (low-quality matches).
        match_low_quality: the second rule applies: a box gets the anchors that overlap it most,
            whatever the first rule gave them.
    """

    positive: float
    negative: float
    least: float
    match_low_quality: bool = True

    def __call__(self, anchors: Tensor, boxes: Tensor) -> Tensor:
        """Return each anchor's box number, int64 ``[A]``, else ``BACKGROUND`` or ``IGNORED``.

        Args:
            anchors: ``[A, 4]``.
            boxes: ``[N, 4]``; N may be 0.
        """
        if not len(boxes):
            return torch.full((len(anchors),), BACKGROUND, device=anchors.device)
        iou = box_iou(boxes, anchors)
        # First rule: the box that the anchor overlaps most, if it overlaps it enough.
        best, number = iou.max(0)
        assigned = torch.where(best >= self.positive, number, IGNORED)
        assigned = torch.where(best < self.negative, BACKGROUND, assigned)
        if not self.match_low_quality:
            return assigned
        # Second rule: no box goes without an anchor, unless even its best one misses it.
        highest = iou.amax(1, keepdim=True)
        best_of_box = (iou == highest) & (highest >= self.least) & (highest > 0)
        # Of several boxes that have one anchor for their best the last gets it, as in mmdetection.
        number = torch.arange(1, len(boxes) + 1, device=boxes.device)[:, None]
        last = (best_of_box * number).amax(0)
        return torch.where(last > 0, last - 1, assigned)


class Sample(NamedTuple):
    """Random sample of anchors or proposals, always of one size: a mask says which of them count.

    Args:
        number: which ones, int64 ``[S]``.
        counted: those drawn; the others only fill up, bool ``[S]``.
        positive: those drawn that have a box, bool ``[S]``.
    """

    number: Tensor
    counted: Tensor
    positive: Tensor


def random_sample(assigned: Tensor, count: int, share: float) -> Sample:
    """Sample positives and background at random, without asking the device how many there are.

    Args:
        assigned: ``[A]`` as :class:`MaxIoUAssigner` gives it.
        count: how many in all; S is the smaller one of it and A.
        share: of positives at most; background fills up.
    """
    size = min(count, len(assigned))
    order = torch.rand(len(assigned), device=assigned.device)
    # Positives by a random order, as many as their share allows; what is drawn ranks before all background.
    rank, drawn = torch.where(assigned >= 0, order, -1).topk(min(int(count * share), size))
    chosen = torch.zeros_like(assigned, dtype=torch.bool).scatter(0, drawn, rank >= 0)
    priority = torch.where(assigned == BACKGROUND, order, -1)
    priority = torch.where(chosen, 2 + order, priority)
    rank, index = priority.topk(size)
    return Sample(index, rank >= 0, rank >= 2)
