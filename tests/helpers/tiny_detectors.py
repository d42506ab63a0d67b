"""Detectors of a few channels, and a batch of two images for them, the second without boxes."""

from typing import Any

import torch
from torch import Tensor

from densekd.models import find_model
from densekd.ops.boxes import Boxes

OPTIONS: dict[str, dict[str, Any]] = {
    "gfl": {"channels": 32, "depth": 1},
    "retinanet": {"channels": 16, "depth": 1},
    "faster_rcnn": {"channels": 16},
}


def tiny_detector(name: str, **more: Any) -> Any:
    """Build one of three classes on a quarter of a ResNet-18, always with the same weights."""
    torch.manual_seed(0)
    return find_model(name)(num_classes=3, backbone="resnet18_025", **OPTIONS[name], **more)


def two_images() -> tuple[Tensor, Boxes]:
    """Return images ``[2, 3, 64, 96]`` and their boxes."""
    torch.manual_seed(1)
    boxes = [torch.tensor([[4.0, 6, 60, 50], [10, 10, 11, 11]]), torch.zeros(0, 4)]
    labels = [torch.tensor([2, 0]), torch.zeros(0, dtype=torch.int64)]
    return torch.rand(2, 3, 64, 96), Boxes(boxes, labels, torch.tensor([[64, 96], [50, 70]]))


def without_boxes(target: Boxes) -> Boxes:
    """Return the target of the same images without any box."""
    count = len(target.boxes)
    labels = [torch.zeros(0, dtype=torch.int64)] * count
    return target._replace(boxes=[torch.zeros(0, 4)] * count, labels=labels)
