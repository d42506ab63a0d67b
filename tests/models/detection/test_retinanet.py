"""RetinaNet's loss, anchor by anchor."""

import math

import torch

from densekd.models.detection.coding import decode_deltas
from densekd.models.detection.dense import Maps
from densekd.models.detection.retinanet import RetinaHead
from densekd.ops.boxes import Boxes


def test_retinanet_loss_anchor_by_anchor() -> None:
    torch.manual_seed(0)
    head = RetinaHead(16, 1, 3)
    maps = head([torch.randn(2, 16, n, n) for n in (8, 4, 2, 1, 1)])
    maps = Maps(*(tuple(torch.randn_like(x) for x in kind) for kind in maps))
    boxes = [torch.tensor([[3.0, 5, 40, 45], [20, 20, 60, 58]]), torch.zeros(0, 4)]
    target = Boxes(boxes, [torch.tensor([1, 2]), torch.zeros(0, dtype=torch.int64)], torch.tensor([[64, 64]] * 2))
    anchors = torch.cat(head.anchors(maps.cls))
    focal = distance = 0.0
    count = 0
    for image, truth in enumerate(boxes):
        assigned = head.assign(anchors, truth).tolist()
        count += max(1, sum(number >= 0 for number in assigned))
        at = 0
        for cls, reg in zip(*maps, strict=True):
            H, W = cls.shape[2:]
            for y, x, shape in ((y, x, a) for y in range(H) for x in range(W) for a in range(9)):
                number = assigned[at]
                if number >= 0:
                    box = decode_deltas(anchors[at], reg[image, 4 * shape : 4 * shape + 4, y, x])
                    size = anchors[at, 2:] - anchors[at, :2]
                    other = truth[number]
                    shift = ((other[:2] + other[2:]) - (anchors[at, :2] + anchors[at, 2:])) / 2 / size
                    wanted = torch.cat([shift, ((other[2:] - other[:2]) / size).log()])
                    distance += (reg[image, 4 * shape : 4 * shape + 4, y, x] - wanted).abs().sum().item()
                    assert box.isfinite().all()
                for c in range(3) if number != -2 else ():
                    p = cls[image, 3 * shape + c, y, x].double().sigmoid().item()
                    right = number >= 0 and target.labels[image][number] == c
                    focal -= 0.25 * (1 - p) ** 2 * math.log(p) if right else 0.75 * p**2 * math.log(1 - p)
                at += 1
        assert at == len(anchors)
    losses = head.losses(maps, target)
    assert count > 2
    torch.testing.assert_close(losses["cls"].item(), focal / count, rtol=1e-5, atol=0)
    torch.testing.assert_close(losses["bbox"].item(), distance / count, rtol=1e-5, atol=0)
