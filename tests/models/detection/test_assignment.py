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
    index, counted, positive = random_sample(assigned, 40, 0.25)
    assert len(index) == 40 == len(set(index.tolist()))
    assert counted.all()
    assert positive.sum() == 10
    assert index[positive].max() < 30 <= index[~positive].min()
    assert index[~positive].max() < 130
    # There are fewer than asked for: all positives and all background count, what is ignored only fills up.
    index, counted, positive = random_sample(assigned, 256, 0.5)
    assert len(index) == 150
    assert sorted(index[positive].tolist()) == list(range(30))
    assert sorted(index[counted & ~positive].tolist()) == list(range(30, 130))
    assert sorted(index[~counted].tolist()) == list(range(130, 150))


def test_positives_that_are_not_drawn_count_as_nothing() -> None:
    assigned = torch.tensor([0] * 30 + [BACKGROUND] * 5)
    index, counted, positive = random_sample(assigned, 20, 0.5)
    assert (len(index), int(positive.sum()), int(counted.sum())) == (20, 10, 15)
    assert index[counted & ~positive].min() >= 30


def test_every_anchor_is_drawn_as_often() -> None:
    torch.manual_seed(0)
    assigned = torch.tensor([0] * 10 + [BACKGROUND] * 10)
    drawn = torch.zeros(20)
    for _ in range(2000):
        index, counted, _ = random_sample(assigned, 8, 0.5)
        drawn[index[counted]] += 1
    # Four of ten of either kind; the standard deviation is 22.
    assert bool(((drawn - 800).abs() < 110).all())
