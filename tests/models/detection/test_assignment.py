"""Assignment by overlap against mmdetection's loop, written out."""

import pytest
import torch
from torch import Tensor
from torchvision.ops import box_iou

from densekd.models.detection.assignment import BACKGROUND, IGNORED, MaxIoUAssigner, random_sample


def literal(anchors: Tensor, boxes: Tensor, rule: MaxIoUAssigner) -> list[int]:
    """What mmdetection's MaxIoUAssigner does, one anchor and one box at a time."""
    overlap = box_iou(boxes, anchors)
    assigned = []
    for a in range(len(anchors)):
        best = max(range(len(boxes)), key=lambda n: overlap[n, a].item())
        value = overlap[best, a].item()
        assigned.append(best if value >= rule.positive else BACKGROUND if value < rule.negative else IGNORED)
    for n in range(len(boxes)) if rule.match_low_quality else ():
        highest = overlap[n].max().item()
        if highest >= rule.least and highest > 0:
            assigned = [n if overlap[n, a].item() == highest else kept for a, kept in enumerate(assigned)]
    return assigned


def random_boxes(count: int, largest: float) -> Tensor:
    corner = torch.rand(count, 2) * 80
    return torch.cat([corner, corner + 1 + torch.rand(count, 2) * largest], 1)


@pytest.mark.parametrize(
    "rule",
    [
        MaxIoUAssigner(0.5, 0.4, 0.0),
        MaxIoUAssigner(0.7, 0.3, 0.3),
        MaxIoUAssigner(0.5, 0.5, 0.5, match_low_quality=False),
    ],
    ids=["retinanet", "proposals", "regions"],
)
def test_equals_the_loop(rule: MaxIoUAssigner) -> None:
    kinds = set()
    for seed in range(20):
        torch.manual_seed(seed)
        anchors, boxes = random_boxes(200, 30), random_boxes(6, 30)
        anchors[:3] = boxes[0]  # three anchors that are equally good
        assigned = rule(anchors, boxes).tolist()
        assert assigned == literal(anchors, boxes, rule)
        kinds |= {min(number, 0) for number in assigned}
    assert kinds == ({0, BACKGROUND} if not rule.match_low_quality else {0, BACKGROUND, IGNORED})


def test_a_box_that_touches_no_anchor_gets_none() -> None:
    anchors, boxes = torch.tensor([[0.0, 0, 8, 8], [8, 0, 16, 8]]), torch.tensor([[50.0, 50, 51, 51]])
    assert MaxIoUAssigner(0.5, 0.4, 0.0)(anchors, boxes).tolist() == [BACKGROUND, BACKGROUND]


def test_without_boxes_all_is_background() -> None:
    assert MaxIoUAssigner(0.5, 0.4, 0.0)(random_boxes(5, 9), torch.zeros(0, 4)).tolist() == [BACKGROUND] * 5


def test_draw_fills_up_with_background() -> None:
    assigned = torch.tensor([0] * 30 + [BACKGROUND] * 100 + [IGNORED] * 20)
    positive, background = random_sample(assigned, 40, 0.25)
    assert len(positive) == 10 == len(set(positive.tolist()))
    assert len(background) == 30 == len(set(background.tolist()))
    assert positive.max() < 30 <= background.min()
    assert background.max() < 130
    positive, background = random_sample(assigned, 256, 0.5)
    assert (len(positive), len(background)) == (30, 100)
