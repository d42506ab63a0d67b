"""LD: localization distillation on distributions of distances (Zheng et al., CVPR 2022, arXiv
2102.12252)."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.kernels import pixel_kl
from densekd.losses.inputs import require_boxes
from densekd.ops.anchors import Anchors
from densekd.ops.atss import atss, valuable_region
from densekd.ops.boxes import Boxes, box_iou
from densekd.ops.precision import to_float32
from densekd.ops.processes import mean_over_processes
from densekd.ops.ranges import Positive, PositiveInt
from densekd.ops.shapes import require_one_shape

Region = Literal["main", "valuable"]
Divisor = Literal["images", "weights"]
Maps = tuple[Tensor, ...]
# gamma of algorithm 1: the valuable region begins at this share of the ATSS threshold.
VALUABLE_SHARE = 0.25


class LD(nn.Module):
    """Localization distillation: KL between the distributions of the distances to a box's sides.

    ``T^2 / (4 B) * sum_p w_p mean_n sum_sides p_T (log p_T - log p_S)`` with ``p = softmax_n(logits /
    T)``. ``main``: the positions that learn a box (ATSS label assignment), w the student's highest
    class score there, without gradient. ``valuable``: those whose DIoU with a box lies between a
    quarter of its ATSS threshold and that threshold, w a quarter of the IoU.

    Tap: a list, class logits before distributions: ``[cls.0, ..., cls.4, reg.0, ..., reg.4]``, of GFL.
    Weight: 0.5 for each region, two terms: the authors' 0.25 of a sum over 2 images. Cost: one pass
    over the distributions.

    Args:
        temperature: T > 0.
        region: ``main`` or ``valuable``.
        divisor: ``images`` is B, the formula. ``weights`` is the sum of all w, over all processes and
            at least 1, by which GFL divides its own losses; the result is smaller by as much, and
            wants a larger weight.
        strides: pixels between the positions of each level.
        anchor_scale: the side of an anchor in strides.
        num_classes: C of the student's classes; supplied by the build. None: it is not compared.

    Shape:
        student, teacher: for L levels L maps ``[B, C, H_l, W_l]`` and L ``[B, 4 * (n + 1), H_l, W_l]``
        of logits; the teacher's classes are not read. target: :class:`densekd.ops.boxes.Boxes`.
        Returns a scalar >= 0; 0 without boxes.

    Raises:
        ValueError: levels it was not built for, a head that is not GFL's, or no boxes.
    """

    def __init__(
        self,
        temperature: Positive = 10.0,
        region: Region = "main",
        divisor: Divisor = "images",
        strides: Sequence[PositiveInt] = (8, 16, 32, 64, 128),
        anchor_scale: Positive = 8.0,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.region = region
        self.divisor = divisor
        self.num_classes = num_classes
        self.anchors = Anchors(tuple(strides), (anchor_scale,))

    def forward(self, student: Maps, teacher: Maps, target: Boxes | None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        L = len(self.anchors.strides)
        if {len(student), len(teacher)} != {2 * L}:
            raise ValueError(f"ld needs {L} maps of classes, then {L} of distributions; got {len(student)} in all")
        boxes = require_boxes(target, len(student[0]))
        _require_gfl(student[0], self.num_classes)
        if student[L].shape[1] % 4:
            raise ValueError(f"the four sides of a box need as many channels each, got {list(student[L].shape)}")
        # The region: a weight for every position of every level.
        weights = self.weights(student[:L], boxes)
        sizes = [level[0, 0].numel() for level in student[:L]]
        by_level = torch.split(weights, sizes, 1)

        values = []
        for s, t, w in zip(student[L:], teacher[L:], by_level, strict=True):
            values.append(self._level(s, t, w))
        # The mean over the four sides and over the bins of each.
        value = torch.stack(values).sum() * (self.temperature**2 / student[L].shape[1])
        if self.divisor == "images":
            return value / len(weights)
        return value / mean_over_processes(weights.sum(), 1)

    @torch.no_grad()
    def weights(self, cls: Maps, target: Boxes) -> Tensor:
        """Return w of every position of the levels, ``[B, A]``, 0 outside of the region."""
        levels = self.anchors(cls)
        anchors = torch.cat(levels)
        per_level = [len(level) for level in levels]
        images = [boxes.to(anchors) for boxes in target.boxes]
        if self.region == "valuable":
            # algorithm 1: anchors that overlap a box, though less than those that learn it.
            overlaps = [valuable_region(anchors, per_level, x, VALUABLE_SHARE) for x in images]
            return torch.stack(overlaps) / 4
        # The positions that learn a box, by the student's confidence.
        positive = torch.stack([atss(anchors, per_level, boxes) >= 0 for boxes in images])
        scores = [to_float32(x).sigmoid().amax(1).flatten(1) for x in cls]
        return torch.cat(scores, 1) * positive

    def _level(self, student: Tensor, teacher: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted sum over one level ``[B, 4 (n + 1), H, W]``, weight ``[B, H W]``."""
        require_one_shape(student, teacher)
        B, positions = weight.shape
        # Every side of a box is a distribution of its own: [4 B, n + 1, H W].
        s = student.reshape(4 * B, -1, positions)
        t = teacher.reshape(4 * B, -1, positions)
        sides = pixel_kl(s, t, self.temperature).view(-1, 4, positions)
        return (sides.sum(1) * weight).sum()


class LDClasses(nn.Module):
    """Classification distillation of the LD authors: KL between class distributions where a box is learnt.

    ``sum_l T^2 / (C P_l) * sum_p sum_c p_T (log p_T - log p_S)`` with ``p = softmax_C(logits / T)`` over
    the P_l positions of level l that learn a box (ATSS label assignment); a level without any adds
    nothing.

    Tap: a list, the class logits of GFL: ``["cls.{0,1,2,3,4}"]``. Weight: 10 with T = 2. Cost: two
    softmax maps.

    Args:
        temperature: T > 0.
        strides: pixels between the positions of each level.
        anchor_scale: the side of an anchor in strides.
        num_classes: C of the student's classes; supplied by the build. None: it is not compared.

    Shape:
        student, teacher: for L levels ``[B, C, H_l, W_l]`` of logits; target:
        :class:`densekd.ops.boxes.Boxes`. Returns a scalar >= 0; 0 without boxes.

    Raises:
        ValueError: levels it was not built for, a head that is not GFL's, or no boxes.
    """

    def __init__(
        self,
        temperature: Positive = 2.0,
        strides: Sequence[PositiveInt] = (8, 16, 32, 64, 128),
        anchor_scale: Positive = 8.0,
        num_classes: int | None = None,
    ) -> None:
        super().__init__()
        self.temperature = temperature
        self.num_classes = num_classes
        self.anchors = Anchors(tuple(strides), (anchor_scale,))

    def forward(self, student: Maps, teacher: Maps, target: Boxes | None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        values = []
        learnt = _learnt_positions(self.anchors, student, teacher, target)
        _require_gfl(student[0], self.num_classes)
        for s, t, positive in zip(student, teacher, learnt, strict=True):
            require_one_shape(s, t)
            divergence = pixel_kl(s.flatten(2), t.flatten(2), self.temperature)
            total = divergence.where(positive, 0).sum()
            values.append(total / (s.shape[1] * positive.sum().clamp(min=1)))
        return torch.stack(values).sum() * self.temperature**2


class LDFeatures(nn.Module):
    """Feature imitation of the LD authors: squared error of features near boxes (fine-grained regions).

    ``sum_l 1 / (C R_l) * sum_p sum_c (student - teacher)^2`` over the R_l positions of level l whose
    anchor overlaps some box by more than half of what the best anchor of any level does (Wang et
    al., CVPR 2019, arXiv 1906.03609). A level where no position learns a box adds nothing.

    Tap: a list, the levels of the pyramid: ``["neck.{0,1,2,3,4}"]``. Weight: 2. Cost: one difference.

    Args:
        strides: pixels between the positions of each level.
        anchor_scale: the side of an anchor in strides.

    Shape:
        student, teacher: for L levels ``[B, C, H_l, W_l]``, any range; target:
        :class:`densekd.ops.boxes.Boxes`. Returns a scalar >= 0; 0 without boxes.

    Raises:
        ValueError: levels it was not built for, or no boxes.
    """

    def __init__(
        self,
        strides: Sequence[PositiveInt] = (8, 16, 32, 64, 128),
        anchor_scale: Positive = 8.0,
    ) -> None:
        super().__init__()
        self.anchors = Anchors(tuple(strides), (anchor_scale,))

    def forward(self, student: Maps, teacher: Maps, target: Boxes | None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        learnt = _learnt_positions(self.anchors, student, teacher, target)
        near = self._near(student, require_boxes(target, len(student[0])))
        values = []
        for s, t, positive, region in zip(student, teacher, learnt, near, strict=True):
            require_one_shape(s, t)
            difference = F.mse_loss(to_float32(s), to_float32(t), reduction="none").flatten(2)
            total = difference.mean(1).where(region, 0).sum()
            mean = total / region.sum().clamp(min=1)
            values.append(mean.where(positive.any(), 0))
        return torch.stack(values).sum()

    @torch.no_grad()
    def _near(self, student: Maps, target: Boxes) -> tuple[Tensor, ...]:
        """Return of each level which positions are imitated, ``[B, H_l W_l]``."""
        levels = self.anchors(student)
        anchors = torch.cat(levels)
        images = []
        for boxes in target.boxes:
            region = torch.zeros(len(anchors), dtype=torch.bool, device=anchors.device)
            if len(boxes):
                iou = box_iou(anchors, boxes.to(anchors))
                region = (iou > iou.amax(0) / 2).any(1)
            images.append(region)
        return torch.split(torch.stack(images), [len(level) for level in levels], 1)


def _require_gfl(cls: Tensor, num_classes: int | None) -> None:
    """Refuse class logits of other heads than GFL's, whose boxes are no distributions.

    Args:
        cls: of one level, ``[B, channels, H, W]``.
        num_classes: C; None: it is not known.

    Raises:
        ValueError: not one channel a class: RetinaNet has one for each anchor and class, and the
            proposals of a two-stage detector one for each anchor.
    """
    if num_classes is not None and cls.shape[1] != num_classes:
        raise ValueError(
            f"ld compares two GFL heads, with one channel for each of {num_classes} classes; this head has "
            f"{cls.shape[1]}. Between other heads take pkd, fgd or mgd on the pyramid"
        )


@torch.no_grad()
def _learnt_positions(anchors: Anchors, student: Maps, teacher: Maps, target: Boxes | None) -> tuple[Tensor, ...]:
    """Return of each level which positions learn a box, ``[B, H_l W_l]``.

    Raises:
        ValueError: levels that the anchors were not made for, or no boxes.
    """
    L = len(anchors.strides)
    if {len(student), len(teacher)} != {L}:
        raise ValueError(f"the loss was built for {L} levels; got {len(student)} and {len(teacher)}")
    boxes = require_boxes(target, len(student[0]))
    levels = anchors(student)
    per_level = [len(level) for level in levels]
    joined = torch.cat(levels)
    assigned = [atss(joined, per_level, found.to(joined)) >= 0 for found in boxes.boxes]
    return torch.split(torch.stack(assigned), per_level, 1)
