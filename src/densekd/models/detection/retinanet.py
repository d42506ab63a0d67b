"""RetinaNet: anchors and the focal loss (Lin et al., ICCV 2017, arXiv 1708.02002)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from densekd.models.backbones import make_backbone
from densekd.models.detection.assignment import IGNORED, MaxIoUAssigner
from densekd.models.detection.coding import from_deltas, to_deltas
from densekd.models.detection.dense import (
    Maps,
    classifier,
    detections,
    matched,
    no_boxes,
    rows,
    small,
    tower,
)
from densekd.models.detection.detector import Detector
from densekd.models.detection.neck import FPN
from densekd.models.detection.selection import Selection
from densekd.models.families import find_family
from densekd.models.freeze import Role
from densekd.ops.anchors import Anchors
from densekd.ops.boxes import Boxes, Detections
from densekd.ops.processes import mean_over_processes

STRIDES = (8, 16, 32, 64, 128)
SCALES = (4.0, 4 * 2 ** (1 / 3), 4 * 2 ** (2 / 3))


def retinanet(
    num_classes: int,
    backbone: str = "resnet50",
    channels: int = 256,
    depth: int = 4,
    family: str = "mmdet",
    freeze: Sequence[Role] = (),
) -> Detector:
    """Build a RetinaNet on levels P3..P7, mmdetection's.

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        channels: of the pyramid and the head.
        depth: convolutions of each tower of the head.
        family: ``mmdet``, or ``mmdet_caffe`` for BGR input and the stride in the 1x1 convolution of a bottleneck (the
            ``*_caffe_*`` models of mmdetection).
        freeze: parts of the backbone that do not learn: ``stem``, ``stage1``, ..., ``stage4``, see
            :mod:`densekd.models.freeze`; goes with ``pretrained``.

    Raises:
        RecipeError: an unknown backbone.
    """
    kind = find_family(family)
    body = make_backbone(backbone, kind, output_stride=32)
    neck = FPN(body.channels[1:], channels, len(STRIDES), "on_input")
    return Detector(kind.convention, body.module, neck, RetinaHead(channels, depth, num_classes), freeze)


class RetinaHead(nn.Module):
    """Class scores and deltas of nine anchors at every position.

    Args:
        channels: of the levels.
        depth: convolutions of each tower.
        num_classes: C.

    Shape:
        levels ``[B, channels, H_l, W_l]`` -> :class:`Maps` with ``cls [B, 9 * C, H_l, W_l]``, ``reg [B, 9 * 4, ...]``.
    """

    def __init__(self, channels: int, depth: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.anchors = Anchors(STRIDES, SCALES, (0.5, 1.0, 2.0))
        self.assign = MaxIoUAssigner(positive=0.5, negative=0.4, least=0.0)
        self.selection = Selection(nms_iou=0.5)
        self.cls_tower = tower(channels, depth, _conv)
        self.reg_tower = tower(channels, depth, _conv)
        self.cls = classifier(channels, self.anchors.shapes * num_classes)
        self.reg = small(nn.Conv2d(channels, self.anchors.shapes * 4, 3, padding=1))

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: logits (``cls.0..4``) and deltas (``reg.0..4``) of each level."""
        return {f"{name}.{k}": f"{name}@{k}" for name in ("cls", "reg") for k in range(len(STRIDES))}

    def forward(self, levels: list[Tensor]) -> Maps:
        """Return the raw output."""
        cls = tuple(self.cls(self.cls_tower(x)) for x in levels)
        return Maps(cls, tuple(self.reg(self.reg_tower(x)) for x in levels))

    def losses(self, output: Maps, target: Boxes) -> dict[str, Tensor]:
        """Return the focal loss and the L1 loss of deltas, both divided by the number of positives."""
        anchors = torch.cat(self.anchors(output.cls))
        cls = torch.cat([rows(x, self.num_classes) for x in output.cls], 1).float()
        reg = torch.cat([rows(x, 4) for x in output.reg], 1).float()
        assigned = torch.stack([self.assign(anchors, boxes) for boxes in target.boxes])
        image, place = (assigned >= 0).nonzero(as_tuple=True)
        boxes, labels = matched(target, assigned)
        truth = torch.zeros_like(cls)
        truth[image, place, labels] = 1
        counted = (assigned != IGNORED)[..., None]
        focal = sigmoid_focal_loss(cls, truth, alpha=0.25, gamma=2.0).where(counted, 0).sum()
        distance = (reg[image, place] - to_deltas(anchors[place], boxes)).abs().sum()
        positives = (assigned >= 0).sum(1).clamp(min=1).sum().to(cls)
        divisor = mean_over_processes(positives)
        return {"cls": focal / divisor, "bbox": distance / divisor + no_boxes(output)}

    def boxes(self, output: Maps) -> list[Tensor]:
        """Decode every anchor of every level: ``[B, P_l, 4]``, not clipped."""
        anchors = self.anchors(output.cls)
        return [from_deltas(a, rows(reg, 4).float()) for a, reg in zip(anchors, output.reg, strict=True)]

    def detect(self, output: Maps, sizes: Tensor) -> list[Detections]:
        """Return what is found in each image."""
        return detections(output, self.num_classes, self.boxes(output), sizes, self.selection)


def _conv(channels: int) -> nn.Sequential:
    return nn.Sequential(small(nn.Conv2d(channels, channels, 3, padding=1)), nn.ReLU(inplace=True))
