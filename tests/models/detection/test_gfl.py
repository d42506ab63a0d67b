"""GFL: it learns to find a box, and its width must suit its norms."""

import math

import pytest
import torch
from torchvision.ops import box_iou, generalized_box_iou_loss

from densekd.errors import RecipeError
from densekd.models import find_model
from densekd.models.detection.dense import Maps
from densekd.models.detection.gfl import GFLHead, gfl
from densekd.ops.atss import atss
from densekd.ops.boxes import Boxes, box_centers
from densekd.registry import construct


def test_learns_to_find_a_box() -> None:
    torch.manual_seed(0)
    model = gfl(2, "resnet18_025", channels=32, depth=1).train()
    images = torch.full((2, 3, 64, 64), 0.5)
    images[0, :, 8:40, 16:48] = 1.0
    images[1, 0, 20:60, 10:50] = 0.0
    target = Boxes(
        [torch.tensor([[16.0, 8, 48, 40]]), torch.tensor([[10.0, 20, 50, 60]])],
        [torch.tensor([0]), torch.tensor([1])],
        torch.tensor([[64, 64]] * 2),
    )
    optimizer = torch.optim.AdamW(model.parameters(), 0.002)
    for _ in range(60):
        optimizer.zero_grad()
        torch.stack(list(model.losses(model(images), target).values())).sum().backward()
        optimizer.step()
    with torch.no_grad():
        found = model.detect(model(images), target.sizes)
    for k, one in enumerate(found):
        assert one.labels[0] == k
        assert box_iou(one.boxes[:1], target.boxes[k]).item() > 0.7


def test_wrong_width_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match="multiple of 8"):
        construct(find_model("gfl"), {"channels": 42}, {"num_classes": 3}, "student")


def test_weights_of_the_losses_by_hand() -> None:
    """All scores are 0.5 and all distances 8 strides: of a distribution over 17 bins that is even."""
    head = GFLHead(8, 1, num_classes=1)
    shapes = [(16, 16), (8, 8), (4, 4), (2, 2), (1, 1)]
    cls = tuple(torch.zeros(1, 1, *shape) for shape in shapes)
    reg = tuple(torch.zeros(1, 4 * 17, *shape) for shape in shapes)
    target = Boxes([torch.tensor([[20.0, 24, 92, 100]])], [torch.tensor([0])], torch.tensor([[128, 128]]))
    losses = head.losses(Maps(cls, reg), target)
    # The cross-entropy of any distance is log 17, and a quarter of it counts.
    torch.testing.assert_close(losses["dfl"], torch.tensor(0.25 * math.log(17)))
    # Twice the mean GIoU loss of the positives, whose boxes reach 8 strides to each side.
    levels = head.anchors(cls)
    anchors = torch.cat(levels)
    chosen = atss(anchors, [len(level) for level in levels], target.boxes[0]) >= 0
    stride = torch.cat([torch.full((len(level), 1), 8.0 * 2**k) for k, level in enumerate(levels)])
    centers = box_centers(anchors)
    found = torch.cat([centers - 8 * stride, centers + 8 * stride], 1)[chosen]
    wanted = target.boxes[0].expand_as(found)
    expected = 2 * generalized_box_iou_loss(found, wanted, reduction="mean")
    torch.testing.assert_close(losses["bbox"], expected)
    # Quality focal loss: |q - 1/2|^2 log 2 everywhere, divided by the number of positives.
    quality = torch.zeros(len(anchors))
    quality[chosen] = box_iou(found, target.boxes[0])[:, 0]
    summed = ((quality - 0.5) ** 2).sum() * math.log(2)
    torch.testing.assert_close(losses["cls"], summed / chosen.sum())
