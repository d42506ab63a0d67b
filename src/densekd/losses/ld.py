"""LD: localization distillation on distributions of distances (Zheng et al., CVPR 2022, arXiv 2102.12252)."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from densekd.kernels import pixel_kl
from densekd.losses.inputs import Boxes, require_boxes, require_one_shape, require_positive, to_float32
from densekd.ops.anchors import Anchors
from densekd.ops.atss import atss, valuable_region
from densekd.ops.processes import mean_over_processes

Region = Literal["main", "valuable"]
Divisor = Literal["images", "weights"]
SHARE = 0.25  # gamma of algorithm 1


class LD(nn.Module):
    """Match where each side of a box may lie: KL between the distributions over distances, at positions of a region.

    ``T^2 / (4 B) * sum_p w_p mean_n sum_sides p_T (log p_T - log p_S)`` with ``p = softmax_n(logits / T)``. ``main``:
    the positions that learn a box (ATSS), w the student's highest class score there, without gradient. ``valuable``:
    those whose DIoU with a box lies between a quarter of its ATSS threshold and that threshold, w a quarter of the IoU.

    Tap: a list, class logits before distributions: ``[cls.0, ..., cls.4, reg.0, ..., reg.4]``, of GFL. Weight: 0.5 for
    each region, two terms: the authors' 0.25 of a sum over 2 images. Cost: one pass over the distributions.

    Args:
        temperature: T > 0.
        region: ``main`` or ``valuable``.
        divisor: ``images`` is B, the formula. ``weights`` is the sum of all w, over all processes and at least 1,
            by which GFL divides its own losses; the result is smaller by as much, and wants a larger weight.
        strides: pixels between the positions of each level.
        anchor_scale: the side of an anchor in strides.

    Shape:
        student, teacher: for L levels L maps ``[B, C, H_l, W_l]`` and L ``[B, 4 * (n + 1), H_l, W_l]`` of logits; the
        teacher's classes are not read. target: :class:`Boxes`. Returns a scalar >= 0; 0 without boxes.

    Raises:
        ValueError: an unknown choice, values that are not positive, or levels it was not built for.
    """

    def __init__(
        self,
        temperature: float = 10.0,
        region: Region = "main",
        divisor: Divisor = "images",
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        anchor_scale: float = 8.0,
    ) -> None:
        super().__init__()
        require_positive(temperature, anchor_scale, *strides)
        for value, choices in ((region, get_args(Region)), (divisor, get_args(Divisor))):
            if value not in choices:
                raise ValueError(f"'{value}' is not one of {', '.join(choices)}")
        self.temperature, self.region, self.divisor = temperature, region, divisor
        self.anchors = Anchors(tuple(strides), (anchor_scale,))

    def forward(self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], target: Boxes | None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        L = len(self.anchors.strides)
        if {len(student), len(teacher)} != {2 * L}:
            raise ValueError(f"ld needs {L} maps of classes, then {L} of distributions; got {len(student)} in all")
        weights = self.weights(student[:L], require_boxes(target, len(student[0])))
        if student[L].shape[1] % 4:
            raise ValueError(f"the four sides of a box need as many channels each, got {list(student[L].shape)}")
        values, by_level = [], torch.split(weights, [x[0, 0].numel() for x in student[:L]], 1)
        for s, t, w in zip(student[L:], teacher[L:], by_level, strict=True):
            require_one_shape(s, t)
            s, t = (x.reshape(4 * len(x), -1, w.shape[1]) for x in (s, t))
            sides = pixel_kl(s, t, self.temperature).view(-1, 4, w.shape[1])
            values.append((sides.sum(1) * w).sum())
        value = torch.stack(values).sum() * (self.temperature**2 / student[L].shape[1])
        return value / (len(weights) if self.divisor == "images" else mean_over_processes(weights.sum(), 1))

    @torch.no_grad()
    def weights(self, cls: tuple[Tensor, ...], target: Boxes) -> Tensor:
        """Return w of every position of the levels, ``[B, A]``, 0 outside of the region."""
        levels = self.anchors(cls)
        per_level, anchors = [len(level) for level in levels], torch.cat(levels)
        images = [boxes.to(anchors) for boxes in target.boxes]
        if self.region == "valuable":
            return torch.stack([valuable_region(anchors, per_level, boxes, SHARE) for boxes in images]) / 4
        learns = torch.stack([atss(anchors, per_level, boxes) >= 0 for boxes in images])
        return torch.cat([to_float32(x).sigmoid().amax(1).flatten(1) for x in cls], 1) * learns
