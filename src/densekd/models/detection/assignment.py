"""Which anchor learns which box, by overlap, and which of them are drawn."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from densekd.ops.boxes import box_iou

BACKGROUND, IGNORED = -1, -2


@dataclass(frozen=True)
class MaxIoUAssigner:
    """Give every anchor the box that it overlaps most, and every box the anchors that overlap it most.

    Args:
        positive: least IoU of an anchor with its box.
        negative: anchors below are background; those between the two are ignored.
        least: IoU that the best anchors of a box need to be given to it whatever the first rule says.
        rescue: ``best`` has the second rule, ``none`` leaves it out.
    """

    positive: float
    negative: float
    least: float
    match_low_quality: Literal["best", "none"] = "best"

    def __call__(self, anchors: Tensor, boxes: Tensor) -> Tensor:
        """Return the number of the box for each anchor, int64 ``[A]``, else ``BACKGROUND`` or ``IGNORED``.

        Args:
            anchors: ``[A, 4]``.
            boxes: ``[N, 4]``; N may be 0.
        """
        if not len(boxes):
            return torch.full((len(anchors),), BACKGROUND, device=anchors.device)
        overlap = box_iou(boxes, anchors)
        best, number = overlap.max(0)
        assigned = torch.where(best >= self.positive, number, IGNORED)
        assigned = torch.where(best < self.negative, BACKGROUND, assigned)
        if self.match_low_quality == "none":
            return assigned
        highest = overlap.amax(1, keepdim=True)
        rescued = (overlap == highest) & (highest >= self.least) & (highest > 0)
        # Of several boxes that have one anchor for their best the last one gets it (mmdetection's loop).
        last = (rescued * torch.arange(1, len(boxes) + 1, device=boxes.device)[:, None]).amax(0)
        return torch.where(last > 0, last - 1, assigned)


def random_sample(assigned: Tensor, count: int, share: float) -> tuple[Tensor, Tensor]:
    """Draw positives and background at random.

    Args:
        assigned: ``[A]`` as :class:`MaxIoUAssigner` gives it.
        count: how many in all.
        share: of positives at most; background fills up.

    Returns:
        places of positives and of background.
    """
    positive, background = (assigned >= 0).nonzero()[:, 0], (assigned == BACKGROUND).nonzero()[:, 0]
    positive = positive[torch.randperm(len(positive), device=positive.device)[: int(count * share)]]
    rest = count - len(positive)
    return positive, background[torch.randperm(len(background), device=background.device)[:rest]]
