"""GFL's loss written down as mmdetection's: targets image by image, losses level by level, boolean indices.

The literal step of ``step.py`` takes it. Matching boxes and anchors is the paper's own formula, and ours.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.ops import box_iou, generalized_box_iou_loss

from densekd.models.detection.dense import Maps
from densekd.models.detection.gfl import BINS, STRIDES
from densekd.ops.anchors import Anchors
from densekd.ops.atss import atss
from densekd.ops.boxes import Boxes


def gfl_loss(output: Maps, target: Boxes) -> Tensor:
    """Return the sum of quality focal loss, GIoU loss and distribution focal loss."""
    levels = Anchors(STRIDES, (8.0,))(output.cls)
    sizes = [len(level) for level in levels]
    labels, boxes, positives = _targets(levels, target, output.cls[0].shape[1])
    cls, giou, dfl, weights = [], [], [], []
    for k, (anchors, stride) in enumerate(zip(levels, STRIDES, strict=True)):
        here = slice(sum(sizes[:k]), sum(sizes[: k + 1]))
        scores = output.cls[k].permute(0, 2, 3, 1).flatten(0, 2)
        distances = output.reg[k].permute(0, 2, 3, 1).flatten(0, 2)
        centers = ((anchors[:, :2] + anchors[:, 2:]) / 2 / stride).repeat(len(target.boxes), 1)
        wanted = boxes[:, here].flatten(0, 1) / stride
        label = labels[:, here].flatten()
        found, weight, quality = _level(scores, distances, centers, wanted, label)
        cls.append(quality)
        weights.append(weight.sum())
        giou.append((weight * generalized_box_iou_loss(found[0], found[1])).sum())
        dfl.append((weight[:, None] * found[2]).sum() / 4)
    # Reading a number from the device, as there.
    divisor = max(torch.stack(weights).sum().item(), 1.0)
    return sum(cls) / positives + (2 * sum(giou) + 0.25 * sum(dfl)) / divisor  # type: ignore[no-any-return]


def _targets(levels: Sequence[Tensor], target: Boxes, classes: int) -> tuple[Tensor, Tensor, float]:
    """Return label ``[B, A]`` and box ``[B, A, 4]`` of every anchor, and the number of positives."""
    anchors = torch.cat(list(levels))
    labels, boxes, positives = [], [], 0.0
    for own, names in zip(target.boxes, target.labels, strict=True):
        assigned = atss(anchors, [len(level) for level in levels], own)
        chosen = assigned >= 0
        label = names.new_full((len(anchors),), classes)
        box = torch.zeros_like(anchors)
        label[chosen] = names[assigned[chosen]]
        box[chosen] = own[assigned[chosen]]
        labels.append(label)
        boxes.append(box)
        positives += max(chosen.sum().item(), 1)
    return torch.stack(labels), torch.stack(boxes), positives


def _level(
    scores: Tensor, distances: Tensor, centers: Tensor, wanted: Tensor, label: Tensor
) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor, Tensor]:
    """Return boxes, wanted boxes and distribution losses of a level's positives, their weights, the quality loss."""
    classes = scores.shape[1]
    chosen = (label < classes).nonzero().squeeze(1)
    weight = scores.detach().sigmoid().max(1)[0][chosen]
    logits = distances[chosen].view(-1, 4, BINS)
    sides = F.linear(logits.softmax(2), torch.arange(BINS, device=logits.device, dtype=logits.dtype)[None])[..., 0]
    points, boxes = centers[chosen], wanted[chosen]
    found = torch.cat([points - sides[:, :2], points + sides[:, 2:]], 1)
    # Quality focal loss: all classes of all places, then the positives' own anew.
    loss = F.binary_cross_entropy_with_logits(scores, torch.zeros_like(scores), reduction="none")
    loss = loss * scores.sigmoid() ** 2
    quality = box_iou(found.detach(), boxes).diagonal()
    own = scores[chosen, label[chosen]]
    entropy = F.binary_cross_entropy_with_logits(own, quality, reduction="none")
    loss[chosen, label[chosen]] = entropy * (quality - own.sigmoid()).abs() ** 2
    # Distribution focal loss: the cross-entropy of the bins on either side.
    exact = torch.cat([points - boxes[:, :2], boxes[:, 2:] - points], 1).clamp(0, BINS - 1 - 0.1)
    below = exact.long()
    flat = logits.flatten(0, 1)
    left, right = (F.cross_entropy(flat, bins.flatten(), reduction="none") for bins in (below, below + 1))
    shares = (exact - below).flatten()
    distribution = (left * (1 - shares) + right * shares).view(-1, 4)
    return (found, boxes, distribution), weight, loss.sum()
