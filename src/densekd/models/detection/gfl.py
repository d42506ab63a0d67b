"""GFL (generalized focal loss; Li et al., NeurIPS 2020, arXiv 2006.04388).

One-stage detector: boxes as distributions, scores that mean quality, ATSS label assignment.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from densekd.models.backbones import make_backbone
from densekd.models.detection.coding import decode_distances, encode_distances
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
from densekd.models.detection.losses import distribution_focal, giou_loss, quality_focal
from densekd.models.detection.neck import FPN
from densekd.models.detection.selection import Selection
from densekd.models.families import find_family
from densekd.models.freeze import Role
from densekd.ops.anchors import Anchors
from densekd.ops.atss import atss
from densekd.ops.boxes import Boxes, Detections, box_centers, paired_iou
from densekd.ops.integral import integral
from densekd.ops.processes import mean_over_processes
from densekd.ops.ranges import Channels, Depth, PositiveInt

STRIDES = (8, 16, 32, 64, 128)
# Distances of 0 to 16 strides.
BINS = 17
# Channels that are normalized together: 32 groups of 256.
_GROUP = 8


def gfl(
    num_classes: int,
    backbone: str = "resnet50",
    channels: Channels = 256,
    depth: Depth = 4,
    family: str = "mmdet",
    freeze: Sequence[Role] = (),
    most: PositiveInt = 100,
) -> Detector:
    """Build a GFL detector on levels P3..P7.

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        channels: of the pyramid and the head; a multiple of 8.
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
    neck = FPN(body.channels[1:], channels, len(STRIDES), "on_output")
    head = GFLHead(channels, depth, num_classes, most)
    return Detector(spec.convention, body.module, neck, head, freeze)


class Scale(nn.Module):
    """Learned factor of one level's distances; it starts at 1."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return the product."""
        return x * self.scale


class GFLHead(nn.Module):
    """GFL's head: scores trained to be the IoU of their box, four distributions over 17 distances.

    Args:
        channels: of the levels; a multiple of 8.
        depth: convolutions of each tower.
        num_classes: C.
        most: boxes that are kept of an image.

    Shape:
        levels ``[B, channels, H_l, W_l]`` -> :class:`Maps` with ``cls [B, C, H_l, W_l]`` and
        ``reg [B, 4 * 17, H_l, W_l]``: left, top, right, bottom, each a distribution's logits over
        0..16 strides.

    Raises:
        ValueError: channels that are no multiple of 8.
    """

    def __init__(self, channels: int, depth: int, num_classes: int, most: int = 100) -> None:
        super().__init__()
        if channels % _GROUP:
            raise ValueError(f"channels must be a multiple of {_GROUP}, a norm's group, got {channels}")
        self.num_classes = num_classes
        self.anchors = Anchors(STRIDES, (8.0,))
        self.selection = Selection(nms_iou=0.6, most=most)
        self.cls_tower = tower(channels, depth, _conv)
        self.reg_tower = tower(channels, depth, _conv)
        self.cls = classifier(channels, num_classes)
        self.reg = normal_init(nn.Conv2d(channels, 4 * BINS, 3, padding=1))
        self.scales = nn.ModuleList(Scale() for _ in STRIDES)

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: logits ``cls.0..4``, distributions' logits ``reg.0..4`` by level."""
        levels = range(len(STRIDES))
        names = {f"cls.{k}": f"cls@{k}" for k in levels}
        names |= {f"reg.{k}": f"scales.{k}" for k in levels}
        return names

    def forward(self, levels: list[Tensor]) -> Maps:
        """Return the raw output."""
        cls = [self.cls(self.cls_tower(x)) for x in levels]
        reg = []
        for x, scale in zip(levels, self.scales, strict=True):
            reg.append(scale(self.reg(self.reg_tower(x))))
        return Maps(tuple(cls), tuple(reg))

    def losses(self, output: Maps, target: Boxes) -> dict[str, Tensor]:
        """Return quality focal loss, twice the GIoU loss, a quarter of the distribution focal loss.

        Equations 4 and 6. The first is divided by the number of positives, the others weigh each
        positive by its highest score and are divided by the sum of these weights; both divisors
        are means over processes.

        Args:
            output: of :meth:`forward`.
            target: the boxes of the batch.
        """
        levels = self.anchors(output.cls)
        anchors = torch.cat(levels)
        cls = flatten_levels(output.cls, self.num_classes)
        reg = flatten_levels(output.reg, 4 * BINS)
        # Label assignment (ATSS): the box of every position, of every image.
        per_level = [len(level) for level in levels]
        assigned = torch.stack([atss(anchors, per_level, boxes) for boxes in target.boxes])
        # The one moment of a step in which the host waits: how many there are.
        image, place = (assigned >= 0).nonzero(as_tuple=True)
        boxes, labels = matched_boxes(target, assigned, (image, place))
        # Points, boxes and distances of the positives are in units of their level's stride.
        strides = [x.new_full((len(x),), s) for x, s in zip(levels, STRIDES, strict=True)]
        stride = torch.cat(strides)[place, None]
        points = box_centers(anchors[place]) / stride
        wanted = boxes / stride
        logits = reg[image, place]
        found = decode_distances(points, integral(logits))
        # Each positive weighs by its highest score.
        weight = cls.detach()[image, place].sigmoid().amax(1)
        # The target of a class score is the IoU of the box that goes with it.
        quality = torch.zeros_like(cls)
        quality[image, place, labels] = paired_iou(found.detach(), wanted)
        giou = (weight * giou_loss(found, wanted)).sum()
        # A distance must lie below the last bin, so that there is one on either side.
        distances = encode_distances(points, wanted).clamp(0, BINS - 1 - 0.1)
        per_side = distribution_focal(logits.reshape(-1, 4, BINS), distances)
        dfl = (weight[:, None] * per_side).sum() / 4
        # An image without positives counts as one, as in mmdetection.
        positives = (assigned >= 0).sum(1).clamp(min=1).sum().to(cls)
        divisor = mean_over_processes(weight.sum(), 1)
        return {
            "cls": quality_focal(cls, quality) / mean_over_processes(positives),
            "bbox": 2 * giou / divisor + zero_regression_loss(output),
            "dfl": 0.25 * dfl / divisor,
        }

    def boxes(self, output: Maps) -> list[Tensor]:
        """Decode every position of every level: ``[B, P_l, 4]``, not clipped."""
        decoded = []
        for anchors, reg, stride in zip(self.anchors(output.cls), output.reg, STRIDES, strict=True):
            distances = integral(permute_and_flatten(reg, 4 * BINS).float()) * stride
            decoded.append(decode_distances(box_centers(anchors), distances))
        return decoded

    def detect(self, output: Maps, sizes: Tensor) -> list[Detections]:
        """Return the detections of each image of ``sizes [B, 2]`` (height, width)."""
        return detections(output, self.num_classes, self.boxes(output), sizes, self.selection)


def _conv(channels: int) -> nn.Sequential:
    conv = normal_init(nn.Conv2d(channels, channels, 3, padding=1, bias=False))
    return nn.Sequential(conv, nn.GroupNorm(channels // _GROUP, channels), nn.ReLU(inplace=True))
