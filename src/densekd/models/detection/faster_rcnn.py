"""Faster R-CNN as in mmdetection: two-stage, with FPN (arXiv 1506.01497 and 1612.03144)."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms, nms

from densekd.models.backbones import make_backbone
from densekd.models.detection.assignment import MaxIoUAssigner, random_sample
from densekd.models.detection.box_head import BoxHead, roi_features
from densekd.models.detection.coding import clip, decode_deltas, encode_deltas
from densekd.models.detection.dense import flatten_levels, normal_init, permute_and_flatten
from densekd.models.detection.detector import Detector
from densekd.models.detection.neck import FPN
from densekd.models.detection.selection import Selection, suppress
from densekd.models.families import find_family
from densekd.models.freeze import Role
from densekd.ops.anchors import Anchors, filled
from densekd.ops.boxes import Boxes, Detections
from densekd.ops.ranges import Channels, PositiveInt

STRIDES = (4, 8, 16, 32, 64)
# What the box head predicts is divided by these, so that all four deltas are of about one size.
_DELTA_STD = (0.1, 0.1, 0.2, 0.2)
# Proposals of each level before suppression, and of each image after it.
_PER_LEVEL = {"train": 2000, "eval": 1000}
_PER_IMAGE = 1000
_NMS_IOU = 0.7


class ProposalOutput(NamedTuple):
    """Raw output: the levels, and the proposals' logits and deltas, each by level."""

    levels: tuple[Tensor, ...]
    cls: tuple[Tensor, ...]
    reg: tuple[Tensor, ...]


def faster_rcnn(
    num_classes: int,
    backbone: str = "resnet50",
    channels: Channels = 256,
    family: str = "mmdet",
    freeze: Sequence[Role] = (),
    most: PositiveInt = 100,
) -> Detector:
    """Build a Faster R-CNN on levels P2..P6.

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        channels: of the pyramid and the proposals' head; the box head has four times as many.
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
    neck = FPN(body.channels, channels, len(STRIDES), "pool")
    head = TwoStageHead(channels, num_classes, most)
    return Detector(spec.convention, body.module, neck, head, freeze)


class TwoStageHead(nn.Module):
    """Region proposal network (RPN) and box head: propose everywhere, classify and refine the best.

    Args:
        channels: of the levels.
        num_classes: C.
        most: boxes that are kept of an image.

    Shape:
        levels ``[B, channels, H_l, W_l]`` -> :class:`ProposalOutput`; ``cls [B, 3, H_l, W_l]``,
        ``reg [B, 12, H_l, W_l]``.
    """

    def __init__(self, channels: int, num_classes: int, most: int = 100) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.anchors = Anchors(STRIDES, (8.0,), (0.5, 1.0, 2.0))
        self.selection = Selection(nms_iou=0.5, most=most)
        self.assign_anchors = MaxIoUAssigner(positive=0.7, negative=0.3, least=0.3)
        self.assign_proposals = MaxIoUAssigner(
            positive=0.5,
            negative=0.5,
            least=0.5,
            match_low_quality=False,
        )
        self.conv = normal_init(nn.Conv2d(channels, channels, 3, padding=1))
        self.cls = normal_init(nn.Conv2d(channels, self.anchors.shapes, 1))
        self.reg = normal_init(nn.Conv2d(channels, self.anchors.shapes * 4, 1))
        self.box = BoxHead(channels, num_classes)

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: the proposals' logits ``cls.0..4``, deltas ``reg.0..4`` by level."""
        names: dict[str, str] = {}
        for output in ("cls", "reg"):
            # The modules run once per level; ``@k`` is the call of level k.
            names |= {f"{output}.{k}": f"{output}@{k}" for k in range(len(STRIDES))}
        return names

    def forward(self, levels: list[Tensor]) -> ProposalOutput:
        """Return the raw output of the first stage; the second depends on what is asked for."""
        hidden = [self.conv(x).relu() for x in levels]
        cls = tuple(self.cls(x) for x in hidden)
        reg = tuple(self.reg(x) for x in hidden)
        return ProposalOutput(tuple(levels), cls, reg)

    def losses(self, output: ProposalOutput, target: Boxes) -> dict[str, Tensor]:
        """Return cross-entropy and L1 loss of both stages, divided by the numbers of sampled boxes.

        Args:
            output: of :meth:`forward`.
            target: the boxes of the batch.

        Returns:
            ``rpn_cls`` and ``rpn_bbox`` of the proposals, ``cls`` and ``bbox`` of the box head.
        """
        proposals = self.propose(output, target.sizes, _PER_LEVEL["train"])
        return self._rpn_losses(output, target) | self._box_losses(output, proposals, target)

    def detect(self, output: ProposalOutput, sizes: Tensor) -> list[Detections]:
        """Return the detections of each image.

        Args:
            output: of :meth:`forward`.
            sizes: ``[B, 2]`` of the images, height and width.
        """
        found = []
        for (boxes, probability), size in zip(self.refine(output, sizes), sizes, strict=True):
            place, label = (probability > self.selection.score).nonzero(as_tuple=True)
            kept = Detections(clip(boxes, size)[place, label], probability[place, label], label)
            found.append(suppress(kept, self.selection))
        return found

    def refine(self, output: ProposalOutput, sizes: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return the proposals of each image, refined for each class, and their probabilities.

        Args:
            output: of :meth:`forward`.
            sizes: ``[B, 2]`` of the images, height and width.

        Returns:
            boxes ``[N, C, 4]``, not clipped, and probabilities ``[N, C]``.
        """
        proposals = self.propose(output, sizes, _PER_LEVEL["eval"])
        scores, deltas = self.box(roi_features(output.levels, proposals))
        # The box head reads the regions of all images at once; take them apart again.
        parts = [(scores, deltas)]
        if len(proposals) > 1:
            counts = [len(boxes) for boxes in proposals]
            parts = list(zip(scores.split(counts), deltas.split(counts), strict=True))
        refined = []
        for boxes, (score, delta) in zip(proposals, parts, strict=True):
            # Every proposal is refined once for each class.
            decoded = decode_deltas(boxes[:, None], delta.float() * filled(_DELTA_STD, boxes.device, boxes.dtype))
            # Probabilities without background, which comes last.
            refined.append((decoded, score.float().softmax(1)[:, :-1]))
        return refined

    @torch.no_grad()
    def propose(self, output: ProposalOutput, sizes: Tensor, per_level: int) -> list[Tensor]:
        """Return the proposals of each image, ``[N, 4]``, best first, N at most 1000.

        Args:
            output: of :meth:`forward`.
            sizes: ``[B, 2]`` of the images, height and width.
            per_level: boxes of each level that go into the suppression.
        """
        anchors = self.anchors(output.cls)
        images = []
        for image, size in enumerate(sizes):
            boxes, scores, levels = [], [], []
            maps = zip(output.cls, output.reg, anchors, strict=True)
            for level, (cls, reg, around) in enumerate(maps):
                # The best anchors of the level, moved and stretched.
                logits = permute_and_flatten(cls[image, None], 1)[0, :, 0]
                # In the order of the logits: sigmoids of 0 and 1 are ties, which engines break in different ways.
                logits, order = logits.float().sort(descending=True)
                order = order[:per_level]
                deltas = permute_and_flatten(reg[image, None], 4)[0, order].float()
                boxes.append(clip(decode_deltas(around[order], deltas), size))
                scores.append(logits[:per_level].sigmoid())
                levels.append(torch.full_like(order, level))
            # Suppress within each level, boxes without area left out.
            box = torch.cat(boxes)
            real = (box[:, 2:] > box[:, :2]).all(1).nonzero()[:, 0]
            box = box[real]
            at_once = per_level == _PER_LEVEL["train"] and _at_once(box)
            kept = _suppressed(box, torch.cat(scores)[real], torch.cat(levels)[real], at_once)
            images.append(box[kept[:_PER_IMAGE]])
        return images

    def _rpn_losses(self, output: ProposalOutput, target: Boxes) -> dict[str, Tensor]:
        """Loss of the first stage: object or not of 256 anchors an image, L1 of positives."""
        anchors = torch.cat(self.anchors(output.cls))
        cls = torch.cat([permute_and_flatten(x, 1)[..., 0] for x in output.cls], 1).float()
        reg = flatten_levels(output.reg, 4)
        # Zeros with a graph: every weight gets a gradient, also without boxes.
        entropy = cls.sum() * 0
        distance = reg.sum() * 0
        count = cls.new_zeros(())
        for image, boxes in enumerate(target.boxes):
            # Label assignment, then as many positives as background or fewer.
            assigned = self.assign_anchors(anchors, boxes)
            index, counted, positive = random_sample(assigned, 256, 0.5)
            apart = F.binary_cross_entropy_with_logits(cls[image, index], positive.to(cls), reduction="none")
            entropy = entropy + apart.where(counted, 0).sum()
            count = count + counted.sum()
            wanted = _wanted_deltas(anchors[index], boxes, assigned[index], positive)
            distance = distance + (reg[image, index] - wanted).where(positive[:, None], 0).abs().sum()
        count = count.clamp(min=1)
        return {"rpn_cls": entropy / count, "rpn_bbox": distance / count}

    def _box_losses(self, output: ProposalOutput, proposals: list[Tensor], target: Boxes) -> dict[str, Tensor]:
        """Loss of the second stage: class of 512 sampled proposals an image, L1 of positives."""
        sampled, labels, wanted, masks = [], [], [], []
        spread = filled(_DELTA_STD, proposals[0].device, proposals[0].dtype)
        for boxes, truth, label in zip(proposals, target.boxes, target.labels, strict=True):
            # The true boxes are proposals too: early in training no other is good.
            boxes = torch.cat([truth, boxes])
            assigned = self.assign_proposals(boxes, truth)
            index, counted, positive = random_sample(assigned, 512, 0.25)
            sampled.append(boxes[index])
            masks.append((counted, positive))
            # Background is the class after the last.
            labels.append(_of_matched(label, assigned[index], positive, self.num_classes))
            wanted.append(_wanted_deltas(boxes[index], truth, assigned[index], positive) / spread)
        cls, reg = self.box(roi_features(output.levels, sampled))
        label = torch.cat(labels)
        counted, positive = (torch.cat(parts) for parts in zip(*masks, strict=True))
        entropy = F.cross_entropy(cls.float(), label, reduction="none").where(counted, 0).sum()
        # Of the deltas for each class those of the true one.
        rows = torch.arange(len(label), device=label.device)
        own = reg.float()[rows, label.clamp(max=self.num_classes - 1)]
        distance = (own - torch.cat(wanted)).where(positive[:, None], 0).abs().sum()
        count = counted.sum().clamp(min=1)
        return {"cls": entropy / count, "bbox": (distance + reg.sum() * 0) / count}


def _of_matched(values: Tensor, assigned: Tensor, positive: Tensor, other: float) -> Tensor:
    """Return the value of each one's box, ``[S, ...]``, and ``other`` where it has none.

    Args:
        values: of each box, ``[N, ...]``; N may be 0.
        assigned: the box's number, ``[S]``; below 0: none.
        positive: which ones are asked for, ``[S]``.
        other: for the rest.
    """
    if not len(values):
        return values.new_full((len(assigned), *values.shape[1:]), other)
    mask = positive.reshape(-1, *[1] * (values.dim() - 1))
    return values[assigned.clamp(min=0)].where(mask, other)


def _wanted_deltas(around: Tensor, boxes: Tensor, assigned: Tensor, positive: Tensor) -> Tensor:
    """Return the deltas of each positive's box, ``[S, 4]``; zeros for the rest.

    Args:
        around: anchors or proposals, ``[S, 4]``.
        boxes: ``[N, 4]``; N may be 0.
        assigned, positive: as in :func:`_of_matched`.
    """
    matched = _of_matched(boxes, assigned, positive, 0)
    return encode_deltas(around, matched).where(positive[:, None], 0)


def _at_once(boxes: Tensor) -> bool:
    """Whether all levels are suppressed in one pass: on a GPU, where each pass makes the host wait."""
    return boxes.is_cuda


def _suppressed(boxes: Tensor, scores: Tensor, levels: Tensor, at_once: bool = False) -> Tensor:
    """Return which proposals remain when each level is suppressed by itself, best first.

    Args:
        boxes: ``[N, 4]``.
        scores: ``[N]``.
        levels: number of each one's level, ``[N]``.
        at_once: in one pass, which rounds boxes of coarse levels a little.
    """
    if at_once:
        # Levels are moved apart, as in mmdetection, so that no box meets one of another level.
        apart = levels.to(boxes) * (boxes.max() + 1)
        moved: Tensor = nms(boxes + apart[:, None], scores, _NMS_IOU)
        return moved
    if not torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
        together: Tensor = batched_nms(boxes, scores, levels, _NMS_IOU)
        return together
    # batched_nms would leave a graph with levels that are moved apart, which rounds their boxes, and a branch.
    kept = []
    for level in range(len(STRIDES)):
        (own,) = torch.where(levels == level)
        kept.append(own[nms(boxes[own], scores[own], _NMS_IOU)])
    remaining = torch.cat(kept)
    return remaining[scores[remaining].sort(descending=True)[1]]
