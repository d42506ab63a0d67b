"""FGD: focal and global distillation of detectors (Yang et al., CVPR 2022, arXiv 2111.11837, eqs. 5 to 14)."""

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn

from densekd.kernels.distance import squared_distance, weighted_squared_distance
from densekd.losses.global_context import GlobalContext
from densekd.losses.inputs import Boxes, require_boxes, require_channels, require_positive, to_float32
from densekd.ops.box_masks import box_masks, padded_extent
from densekd.ops.precision import call_in_precision as call

Extent = Literal["batch", "image"]


class FGD(nn.Module):
    """Match a feature inside and outside of boxes where the teacher looks, how both attend, and global relations.

    ``1 / B * (sum (alpha M + beta N) a_T c_T (F_T - F_S)^2 + gamma (sum |a_T - a_S| + sum |c_T - c_S|)
    + lambda sum (F_T + G_T - F_S - G_S)^2)``. Attention: ``a = H W softmax_HW(mean_C |F| / T)``, ``c = C
    softmax_C(mean_HW |F| / T)``; M: one over the positions of the box, the smallest where boxes overlap; N: one over
    the number of positions outside of boxes; G: a global context block for each network, which learns.

    Tap: each level of a feature pyramid, ``neck.{0,1,2,3,4}``, one term per level. Weight: 1, and those within.
    Cost: three weighted passes over the maps; two small blocks that learn.

    Args:
        student_channels, teacher_channels: of the taps; supplied by the build. Where they differ a 1x1 convolution
            ``align`` goes first.
        temperature: T > 0.
        weights: alpha, beta, gamma, lambda. The defaults are those that ship for GFL and RetinaNet; FCOS has 1.6 times
            as much and temperature 0.8, two-stage detectors (5e-5, 2.5e-5, 5e-5, 5e-7).
        extent: what the whole map covers when boxes are brought to it: the ``batch``, which is the largest image padded
            to multiples of 32, or, as published, the ``image`` itself without padding. That is right where all images
            of a batch have one size; in others boxes come to lie too far right and down.

    Shape:
        student ``[B, student_channels, H, W]``, teacher ``[B, teacher_channels, H, W]``, any range; target:
        :class:`Boxes`. Returns a scalar >= 0. Without boxes all positions are outside.

    Raises:
        ValueError: an unknown choice, weights that are not four, a temperature <= 0, or tensors it was not built for.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        temperature: float = 0.5,
        weights: Sequence[float] = (1e-3, 5e-4, 5e-4, 5e-6),
        extent: Extent = "batch",
    ) -> None:
        super().__init__()
        require_positive(temperature)
        if extent not in get_args(Extent):
            raise ValueError(f"'{extent}' is not one of {', '.join(get_args(Extent))}")
        if len(weights) != 4:
            raise ValueError(f"weights must be four, got {weights}")
        self.channels = (student_channels, teacher_channels)
        self.temperature, self.weights, self.extent = temperature, tuple(weights), extent
        self.align: nn.Module = nn.Identity()
        if student_channels != teacher_channels:
            self.align = nn.Conv2d(student_channels, teacher_channels, 1)
        self.student_context, self.teacher_context = (GlobalContext(teacher_channels) for _ in range(2))

    def forward(self, student: Tensor, teacher: Tensor, target: Boxes | None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_channels(student, teacher, self.channels)
        labels = require_boxes(target, len(student))
        s, t = call(self.align, to_float32(student)), to_float32(teacher)
        alpha, beta, gamma, scale = self.weights
        (places, channels), (looks, listens) = (self.attention(x) for x in (t, s))
        attention = (places - looks).abs().sum() + (channels - listens).abs().sum()
        context = call(self.student_context, s) - call(self.teacher_context, t)
        related = squared_distance(s + context, t)
        extent = labels.sizes if self.extent == "image" else padded_extent(labels.sizes)
        inside, outside = box_masks(labels.boxes, extent, t)
        focal = weighted_squared_distance(s, t, (alpha * inside + beta * outside) * places, channels)
        return (focal + gamma * attention + scale * related) / len(s)

    def attention(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return where ``[B, C, H, W]`` is active: ``[B, H, W]``, of mean 1, and ``[B, C]``, of mean 1."""
        B, C, H, W = x.shape
        # Two sums of absolute values: through means, or one map of values, the backward pass would hold a map more.
        places = (x.abs().sum(1).flatten(1) / (C * self.temperature)).softmax(1).view(B, H, W) * (H * W)
        return places, (x.abs().sum((2, 3)) / (H * W * self.temperature)).softmax(1) * C
