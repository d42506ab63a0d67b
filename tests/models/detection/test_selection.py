"""Non-maximum suppression within classes."""

import torch
from torchvision.ops import nms

from densekd.models.detection.selection import Selection, suppress
from densekd.ops.boxes import Detections


def test_suppression_is_within_classes() -> None:
    torch.manual_seed(0)
    corner = torch.rand(60, 2) * 20
    boxes = torch.cat([corner, corner + 5 + torch.rand(60, 2) * 10], 1)
    found = Detections(boxes, torch.rand(60), torch.randint(3, (60,)))
    kept = suppress(found, Selection(nms_iou=0.4, most=1000))
    expected = set()
    for label in range(3):
        own = (found.labels == label).nonzero()[:, 0]
        expected |= set(own[nms(boxes[own], found.scores[own], 0.4)].tolist())
    assert {found.scores.tolist().index(score) for score in kept.scores.tolist()} == expected
    flat = Detections(torch.tensor([[1.0, 1, 1, 5]]), torch.ones(1), torch.zeros(1, dtype=torch.int64))
    assert len(suppress(flat, Selection(0.5)).boxes) == 0
