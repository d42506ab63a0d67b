"""Faster R-CNN with a feature pyramid (Ren et al., arXiv 1506.01497; Lin et al., arXiv 1612.03144), mmdetection's."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import batched_nms, roi_align

from densekd.models.backbones import make_backbone
from densekd.models.detection.assignment import MaxIoUAssigner, random_sample
from densekd.models.detection.coding import clip, from_deltas, to_deltas
from densekd.models.detection.dense import rows, small
from densekd.models.detection.detector import Detector, Learns
from densekd.models.detection.neck import FPN
from densekd.models.detection.selection import Selection, suppress
from densekd.models.families import find_family
from densekd.ops.anchors import Anchors
from densekd.ops.boxes import Boxes, Detections, box_area

STRIDES = (4, 8, 16, 32, 64)
# What the box head predicts is divided by these, so that all four are of about one size.
_SPREAD = (0.1, 0.1, 0.2, 0.2)
_PROPOSALS = {"train": 2000, "eval": 1000}


class TwoStage(NamedTuple):
    """The raw output: the levels, and the proposals' logits and deltas, each by level."""

    levels: tuple[Tensor, ...]
    cls: tuple[Tensor, ...]
    reg: tuple[Tensor, ...]


def faster_rcnn(num_classes: int, backbone: str = "resnet50", channels: int = 256, learns: Learns = "all") -> Detector:
    """Build a Faster R-CNN on levels P2..P6.

    Args:
        num_classes: C; supplied by the build.
        backbone: see :data:`densekd.models.backbones.BACKBONES`.
        channels: of the pyramid and the proposals' head; the box head has four times as many.
        learns: see :class:`densekd.models.detection.detector.Detector`; ``finetune`` goes with ``pretrained``.

    Raises:
        RecipeError: an unknown backbone.
    """
    family = find_family("mmseg_b")
    body = make_backbone(backbone, family, output_stride=32)
    neck = FPN(body.channels, channels, len(STRIDES), "pool")
    return Detector(family.convention, body.module, neck, TwoStageHead(channels, num_classes), learns)


class TwoStageHead(nn.Module):
    """Propose boxes at every position, then classify and refine the best of them.

    Args:
        channels: of the levels.
        num_classes: C.

    Shape:
        levels ``[B, channels, H_l, W_l]`` -> :class:`TwoStage`; ``cls [B, 3, H_l, W_l]``, ``reg [B, 12, H_l, W_l]``.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.anchors = Anchors(STRIDES, (8.0,), (0.5, 1.0, 2.0))
        self.selection = Selection(nms_iou=0.5)
        self.assign_anchors = MaxIoUAssigner(positive=0.7, negative=0.3, least=0.3)
        self.assign_proposals = MaxIoUAssigner(positive=0.5, negative=0.5, least=0.5, match_low_quality="none")
        self.conv = small(nn.Conv2d(channels, channels, 3, padding=1))
        self.cls = small(nn.Conv2d(channels, self.anchors.shapes, 1))
        self.reg = small(nn.Conv2d(channels, self.anchors.shapes * 4, 1))
        self.box = BoxHead(channels, num_classes)

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: the proposals' logits (``cls.0..4``) and deltas (``reg.0..4``) of each level."""
        return {f"{name}.{k}": f"{name}@{k}" for name in ("cls", "reg") for k in range(len(STRIDES))}

    def forward(self, levels: list[Tensor]) -> TwoStage:
        """Return the raw output of the first stage; the second depends on what is asked for."""
        hidden = [self.conv(x).relu() for x in levels]
        return TwoStage(tuple(levels), tuple(map(self.cls, hidden)), tuple(map(self.reg, hidden)))

    def losses(self, output: TwoStage, target: Boxes) -> dict[str, Tensor]:
        """Return cross-entropy and L1 loss of both stages, each divided by the number of drawn boxes."""
        proposals = self.propose(output, target.sizes, _PROPOSALS["train"])
        return self._first(output, target) | self._second(output, proposals, target)

    def detect(self, output: TwoStage, sizes: Tensor) -> list[Detections]:
        """Return what is found in each image."""
        proposals = self.propose(output, sizes, _PROPOSALS["eval"])
        scores, deltas = self.box(regions(output.levels, proposals))
        found, first = [], 0
        for boxes, size in zip(proposals, sizes, strict=True):
            last = first + len(boxes)
            refined = from_deltas(boxes[:, None], deltas[first:last].float() * boxes.new_tensor(_SPREAD))
            score = scores[first:last].float().softmax(1)[:, :-1]
            place, label = (score > self.selection.score).nonzero(as_tuple=True)
            one = Detections(clip(refined, size)[place, label], score[place, label], label)
            found.append(suppress(one, self.selection))
            first = last
        return found

    @torch.no_grad()
    def propose(self, output: TwoStage, sizes: Tensor, count: int) -> list[Tensor]:
        """Return the best boxes of the first stage of each image, ``[N, 4]``, best first, N at most 1000.

        Args:
            output: the raw output.
            sizes: ``[B, 2]`` of the images.
            count: how many of each level are looked at.
        """
        anchors = self.anchors(output.cls)
        images = []
        for image, size in enumerate(sizes):
            boxes, scores, levels = [], [], []
            for level, (cls, reg, around) in enumerate(zip(output.cls, output.reg, anchors, strict=True)):
                score, order = rows(cls[image, None], 1)[0, :, 0].float().sigmoid().sort(descending=True)
                order = order[:count]
                deltas = rows(reg[image, None], 4)[0, order].float()
                boxes.append(clip(from_deltas(around[order], deltas), size))
                scores.append(score[:count])
                levels.append(torch.full_like(order, level))
            box = torch.cat(boxes)
            real = (box[:, 2:] > box[:, :2]).all(1)
            box = box[real]
            images.append(box[batched_nms(box, torch.cat(scores)[real], torch.cat(levels)[real], 0.7)[:1000]])
        return images

    def _first(self, output: TwoStage, target: Boxes) -> dict[str, Tensor]:
        anchors = torch.cat(self.anchors(output.cls))
        cls = torch.cat([rows(x, 1)[..., 0] for x in output.cls], 1).float()
        reg = torch.cat([rows(x, 4) for x in output.reg], 1).float()
        entropy, distance, count = cls.sum() * 0, reg.sum() * 0, 0
        for image, boxes in enumerate(target.boxes):
            assigned = self.assign_anchors(anchors, boxes)
            positive, background = random_sample(assigned, 256, 0.5)
            drawn = torch.cat([positive, background])
            truth = (assigned[drawn] >= 0).to(cls)
            entropy = entropy + F.binary_cross_entropy_with_logits(cls[image, drawn], truth, reduction="sum")
            wanted = to_deltas(anchors[positive], boxes[assigned[positive]])
            distance = distance + (reg[image, positive] - wanted).abs().sum()
            count += len(drawn)
        return {"rpn_cls": entropy / max(count, 1), "rpn_bbox": distance / max(count, 1)}

    def _second(self, output: TwoStage, proposals: list[Tensor], target: Boxes) -> dict[str, Tensor]:
        regions_of, labels, wanted = [], [], []
        for boxes, truth, label in zip(proposals, target.boxes, target.labels, strict=True):
            boxes = torch.cat([truth, boxes])  # the true boxes are proposals too
            assigned = self.assign_proposals(boxes, truth)
            positive, background = random_sample(assigned, 512, 0.25)
            regions_of.append(boxes[torch.cat([positive, background])])
            labels.append(torch.cat([label[assigned[positive]], torch.full_like(background, self.num_classes)]))
            wanted.append(to_deltas(boxes[positive], truth[assigned[positive]]) / boxes.new_tensor(_SPREAD))
        cls, reg = self.box(regions(output.levels, regions_of))
        label = torch.cat(labels)
        positive = label < self.num_classes
        distance = (reg.float()[positive, label[positive]] - torch.cat(wanted)).abs().sum()
        entropy = F.cross_entropy(cls.float(), label, reduction="sum")
        return {"cls": entropy / max(len(label), 1), "bbox": (distance + reg.sum() * 0) / max(len(label), 1)}


class BoxHead(nn.Module):
    """Two hidden layers on a region of 7 x 7, then logits and the deltas for each class.

    Args:
        channels: of the levels.
        num_classes: C.

    Shape:
        ``[N, channels, 7, 7]`` -> ``[N, C + 1]`` (background last) and ``[N, C, 4]``.
    """

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        width = 4 * channels
        self.hidden = nn.ModuleList([nn.Linear(channels * 7 * 7, width), nn.Linear(width, width)])
        self.cls = nn.Linear(width, num_classes + 1)
        self.reg = nn.Linear(width, 4 * num_classes)
        for layer, std in ((self.cls, 0.01), (self.reg, 0.001)):
            nn.init.normal_(layer.weight, std=std)
            nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and deltas."""
        x = features.flatten(1)
        for layer in self.hidden:
            x = layer(x).relu()
        return self.cls(x), self.reg(x).unflatten(1, (-1, 4))


def regions(levels: tuple[Tensor, ...], boxes: list[Tensor]) -> Tensor:
    """Read 7 x 7 features of every box from the level that suits its size (arXiv 1612.03144, eq. 1).

    Args:
        levels: ``[B, C, H_l, W_l]`` at strides 4, 8, ...; the last is not read.
        boxes: of each image, ``[N_b, 4]``.

    Returns:
        ``[sum of N_b, C, 7, 7]``.
    """
    joined = torch.cat(boxes)
    side = box_area(joined).sqrt()
    level = (side / 56 + 1e-6).log2().floor().clamp(0, len(levels) - 2)
    image = torch.cat([joined.new_full((len(one), 1), k) for k, one in enumerate(boxes)])
    numbered = torch.cat([image, joined], 1)
    out = levels[0].new_zeros(len(joined), levels[0].shape[1], 7, 7)
    for k, x in enumerate(levels[:-1]):
        chosen = (level == k).nonzero()[:, 0]
        cut = roi_align(x.float(), numbered[chosen], 7, 1 / STRIDES[k], aligned=True)
        out = out.index_put((chosen,), cut.to(out.dtype))
    return out
