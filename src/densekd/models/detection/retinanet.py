"""RetinaNet (Lin et al., ICCV 2017, arXiv 1708.02002): one-stage, anchors and focal loss."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torchvision.ops import sigmoid_focal_loss

from densekd.models.backbones import make_backbone
from densekd.models.detection.assignment import IGNORED, MaxIoUAssigner
from densekd.models.detection.coding import decode_deltas, encode_deltas
from densekd.models.detection.dense import (
    Maps,
    classifier,
    detections,
    flatten_levels,
    matched_boxes,
    normal_init,
    permute_and_flatten,
    tower,
    zero_regression_loss,
)
from densekd.models.detection.detector import Detector
from densekd.models.detection.neck import FPN
from densekd.models.detection.selection import Selection
from densekd.models.families import find_family
from densekd.models.freeze import Role
from densekd.ops.anchors import Anchors
from densekd.ops.boxes import Boxes, Detections
from densekd.ops.processes import mean_over_processes
from densekd.ops.ranges import Channels, Depth, PositiveInt

STRIDES = (8, 16, 32, 64, 128)
SCALES = (4.0, 4 * 2 ** (1 / 3), 4 * 2 ** (2 / 3))


def retinanet(
    num_classes: int,
    backbone: str = "resnet50",
    channels: Channels = 256,
    depth: Depth = 4,
    family: str = "mmdet",
    freeze: Sequence[Role] = (),
    most: PositiveInt = 100,
) -> Detector:
    """Build a RetinaNet on levels P3..P7, mmdetection's.

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        channels: of the pyramid and the head.
        depth: convolutions of each tower of the head.
        family: ``mmdet``, or ``mmdet_caffe`` for BGR input and the stride in the 1x1 convolution of
            a bottleneck (the ``*_caffe_*`` models of mmdetection).
        freeze: parts of the backbone that do not learn: ``stem``, ``stage1``, ..., ``stage4``, see
            :mod:`densekd.models.freeze`; goes with ``pretrained``.
        most: boxes that are kept of an image, of all classes together; COCO's AP counts 100 of each class.

    Raises:
        RecipeError: an unknown backbone.
    """
    spec = find_family(family)
    body = make_backbone(backbone, spec, output_stride=32)
    neck = FPN(body.channels[1:], channels, len(STRIDES), "on_input")
    head = RetinaHead(channels, depth, num_classes, most)
    return Detector(spec.convention, body.module, neck, head, freeze)


class RetinaHead(nn.Module):
    """RetinaNet's head: class scores and deltas of nine anchors at every position.

    Args:
        channels: of the levels.
        depth: convolutions of each tower.
        num_classes: C.
        most: boxes that are kept of an image.

    Shape:
        levels ``[B, channels, H_l, W_l]`` -> :class:`Maps` with ``cls [B, 9 * C, H_l, W_l]`` and
        ``reg [B, 9 * 4, H_l, W_l]``.
    """

    def __init__(self, channels: int, depth: int, num_classes: int, most: int = 100) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.anchors = Anchors(STRIDES, SCALES, (0.5, 1.0, 2.0))
        self.assign = MaxIoUAssigner(positive=0.5, negative=0.4, least=0.0)
        self.selection = Selection(nms_iou=0.5, most=most)
        self.cls_tower = tower(channels, depth, _conv)
        self.reg_tower = tower(channels, depth, _conv)
        self.cls = classifier(channels, self.anchors.shapes * num_classes)
        self.reg = normal_init(nn.Conv2d(channels, self.anchors.shapes * 4, 3, padding=1))

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: logits (``cls.0..4``) and deltas (``reg.0..4``) of each level."""
        names: dict[str, str] = {}
        for output in ("cls", "reg"):
            # The modules run once per level; ``@k`` is the call of level k.
            names |= {f"{output}.{k}": f"{output}@{k}" for k in range(len(STRIDES))}
        return names

    def forward(self, levels: list[Tensor]) -> Maps:
        """Return the raw output."""
        cls = [self.cls(self.cls_tower(x)) for x in levels]
        reg = [self.reg(self.reg_tower(x)) for x in levels]
        return Maps(tuple(cls), tuple(reg))

    def losses(self, output: Maps, target: Boxes) -> dict[str, Tensor]:
        """Return the focal loss and the L1 loss of deltas, both divided by the number of positives.

        Args:
            output: of :meth:`forward`.
            target: the boxes of the batch.

        Returns:
            ``cls`` and ``bbox``; the divisor is a mean over processes.
        """
        anchors = torch.cat(self.anchors(output.cls))
        cls = flatten_levels(output.cls, self.num_classes)
        reg = flatten_levels(output.reg, 4)
        # Label assignment: the box of every anchor, of every image.
        assigned = torch.stack([self.assign(anchors, boxes) for boxes in target.boxes])
        # The one moment of a step in which the host waits: how many there are.
        image, place = (assigned >= 0).nonzero(as_tuple=True)
        boxes, labels = matched_boxes(target, assigned, (image, place))
        # Classification: positives and background count, what lies between does not.
        truth = torch.zeros_like(cls)
        truth[image, place, labels] = truth.new_ones(())
        counted = (assigned != IGNORED)[..., None]
        focal = sigmoid_focal_loss(cls, truth, alpha=0.25, gamma=2.0).where(counted, 0).sum()
        # Regression: positives alone.
        distance = (reg[image, place] - encode_deltas(anchors[place], boxes)).abs().sum()
        # An image without positives counts as one, as in mmdetection.
        positives = (assigned >= 0).sum(1).clamp(min=1).sum().to(cls)
        divisor = mean_over_processes(positives)
        return {"cls": focal / divisor, "bbox": distance / divisor + zero_regression_loss(output)}

    def boxes(self, output: Maps) -> list[Tensor]:
        """Decode every anchor of every level: ``[B, P_l, 4]``, not clipped."""
        decoded = []
        for anchors, reg in zip(self.anchors(output.cls), output.reg, strict=True):
            decoded.append(decode_deltas(anchors, permute_and_flatten(reg, 4).float()))
        return decoded

    def detect(self, output: Maps, sizes: Tensor) -> list[Detections]:
        """Return the detections of each image of ``sizes [B, 2]`` (height, width)."""
        return detections(output, self.num_classes, self.boxes(output), sizes, self.selection)


def _conv(channels: int) -> nn.Sequential:
    conv = normal_init(nn.Conv2d(channels, channels, 3, padding=1))
    return nn.Sequential(conv, nn.ReLU(inplace=True))
