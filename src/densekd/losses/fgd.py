"""FGD: focal and global distillation of detectors (Yang et al., CVPR 2022, arXiv 2111.11837, eqs. 5
to 14)."""

from typing import Literal

from torch import Tensor, nn

from densekd.kernels.distance import squared_distance, weighted_squared_distance
from densekd.losses.global_context import GlobalContext
from densekd.losses.inputs import require_boxes, require_channels
from densekd.ops.box_masks import box_masks, padded_extent
from densekd.ops.boxes import Boxes
from densekd.ops.precision import call_in_precision, to_float32
from densekd.ops.ranges import NonNegative, Positive

Extent = Literal["batch", "image"]


class FGD(nn.Module):
    """Focal and global feature distillation: foreground, background, attention, global relations.

    ``1 / B * (sum (alpha M + beta N) a_T c_T (F_T - F_S)^2 + gamma (sum |a_T - a_S| + sum |c_T - c_S|)
    + lambda sum (F_T + G_T - F_S - G_S)^2)``. Spatial attention ``a = H W softmax_HW(mean_C |F| / T)``,
    channel attention ``c = C softmax_C(mean_HW |F| / T)``; M: one over the positions of the box, the
    smallest where boxes overlap; N: one over the number of positions outside of boxes; G: a global
    context block for each network, which learns.

    Tap: each level of a feature pyramid, ``neck.{0,1,2,3,4}``, one term per level. Weight: 1, and
    those within: the defaults are those that ship for GFL and RetinaNet; FCOS has 1.6 times as much
    and temperature 0.8, two-stage detectors 5e-5, 2.5e-5, 5e-5, 5e-7. Cost: three weighted passes
    over the maps; two small blocks that learn.

    Args:
        student_channels, teacher_channels: of the taps; supplied by the build. Where they differ a
            1x1 convolution ``align`` goes first.
        temperature: T > 0.
        foreground_weight: alpha, of the features inside of boxes.
        background_weight: beta, of the features outside of boxes.
        attention_weight: gamma, of both attentions.
        relation_weight: lambda, of the global relations.
        extent: what the whole map covers when boxes are brought to it: the ``batch``, which is the
            largest image padded to multiples of 32, or, as published, the ``image`` itself without
            padding. That is right where all images of a batch have one size; in others boxes come
            to lie too far right and down.

    Shape:
        student ``[B, student_channels, H, W]``, teacher ``[B, teacher_channels, H, W]``, any range;
        target: :class:`densekd.ops.boxes.Boxes`. Returns a scalar >= 0. Without boxes all positions
        are outside.

    Raises:
        ValueError: tensors it was not built for, or no boxes.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        temperature: Positive = 0.5,
        foreground_weight: NonNegative = 1e-3,
        background_weight: NonNegative = 5e-4,
        attention_weight: NonNegative = 5e-4,
        relation_weight: NonNegative = 5e-6,
        extent: Extent = "batch",
    ) -> None:
        super().__init__()
        self.channels = (student_channels, teacher_channels)
        self.temperature = temperature
        self.foreground_weight = foreground_weight
        self.background_weight = background_weight
        self.attention_weight = attention_weight
        self.relation_weight = relation_weight
        self.extent = extent
        self.align: nn.Module = nn.Identity()
        if student_channels != teacher_channels:
            self.align = nn.Conv2d(student_channels, teacher_channels, 1)
        self.student_context = GlobalContext(teacher_channels)
        self.teacher_context = GlobalContext(teacher_channels)

    def forward(self, student: Tensor, teacher: Tensor, target: Boxes | None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_channels(student, teacher, self.channels)
        boxes = require_boxes(target, len(student))
        s = call_in_precision(self.align, to_float32(student))
        t = to_float32(teacher)

        # Attention loss: both networks attend to the same positions and channels.
        spatial_t, channel_t = self.attention(t)
        spatial_s, channel_s = self.attention(s)
        attention = (spatial_t - spatial_s).abs().sum() + (channel_t - channel_s).abs().sum()

        # Global loss: features plus what all positions have in common.
        context = call_in_precision(self.student_context, s)
        context = context - call_in_precision(self.teacher_context, t)
        relation = squared_distance(s + context, t)

        # Feature loss inside and outside of boxes (eqs. 5 and 6), where the teacher attends.
        extent = boxes.sizes
        if self.extent == "batch":
            extent = padded_extent(extent)
        foreground, background = box_masks(boxes.boxes, extent, t)
        mask = self.foreground_weight * foreground + self.background_weight * background
        focal = weighted_squared_distance(s, t, mask * spatial_t, channel_t)

        total = focal + self.attention_weight * attention + self.relation_weight * relation
        return total / len(s)

    def attention(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return spatial ``[B, H, W]`` and channel attention ``[B, C]``, each of mean 1."""
        B, C, H, W = x.shape
        # Sums of absolute values, divided after: through means, or one shared map of absolute
        # values, the backward pass would hold a map more.
        by_position = x.abs().sum(1).flatten(1) / (C * self.temperature)
        spatial = by_position.softmax(1).view(B, H, W) * (H * W)
        by_channel = x.abs().sum((2, 3)) / (H * W * self.temperature)
        return spatial, by_channel.softmax(1) * C
