"""GFL: it learns to find a box, and its width must suit its norms."""

import pytest
import torch
from torchvision.ops import box_iou

from densekd.errors import RecipeError
from densekd.models import find_model
from densekd.models.detection.gfl import gfl
from densekd.ops.boxes import Boxes
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
