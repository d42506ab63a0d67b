"""Label assignment by IoU: the box that each anchor learns, and the random sample that counts."""

from dataclasses import dataclass

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


def random_sample(assigned: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Sample positives and background at random.

    Args:
        assigned: ``[A]`` as :class:`MaxIoUAssigner` gives it.
        count: how many in all.
        share: of positives at most; background fills up.

    Returns:
        indices of positives and of background.
    """
    positive = (assigned >= 0).nonzero()[:, 0]
    background = (assigned == BACKGROUND).nonzero()[:, 0]
    order = torch.randperm(len(positive), device=positive.device)
    positive = positive[order[: int(count * share)]]
    order = torch.randperm(len(background), device=background.device)
    background = background[order[: count - len(positive)]]
    return positive, background
