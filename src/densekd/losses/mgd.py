"""MGD: masked generative distillation (Yang et al., ECCV 2022, arXiv 2205.01529, eqs. 2 to 5)."""

from typing import Literal

import torch
from torch import Tensor, nn

from densekd.kernels.distance import squared_distance
from densekd.losses.inputs import require_channels
from densekd.ops.precision import call_in_precision, to_float32
from densekd.ops.ranges import Fraction

Mask = Literal["position", "channel"]


class MGD(nn.Module):
    """Masked generative distillation: restore the teacher's feature from the student's masked one.

    ``1 / B * sum (generation(mask * align(student)) - teacher)^2``; the mask is drawn anew at every
    call, generation is conv 3x3, ReLU, conv 3x3.

    Tap: each level of a feature pyramid, ``neck.{0,1,2,3,4}``, one term per level (masked 0.65:
    MMRazor's detectors), or the last feature of a segmentor (masked 0.75: the HWD repository).
    Weight: 2e-5. Cost: two 3x3 convolutions of the teacher's width; 18 C^2 parameters that learn.

    Args:
        student_channels: channels of the student's tap; supplied by the build.
        teacher_channels: channels of the teacher's tap; supplied by the build. Where the two differ
            a 1x1 convolution ``align`` goes first.
        masked: share of the feature that is hidden, in [0, 1].
        mask: what one number hides: a ``position`` in all channels (dense prediction) or a
            ``channel`` at all positions.

    Shape:
        student: ``[B, student_channels, H, W]``; teacher: ``[B, teacher_channels, H, W]``, any range;
        target: ignored. Returns a scalar >= 0, which is not zero for equal tensors.

    Raises:
        ValueError: tensors it was not built for.
    """

    def __init__(
        self,
        student_channels: int,
        teacher_channels: int,
        masked: Fraction = 0.65,
        mask: Mask = "position",
    ) -> None:
        super().__init__()
        self.channels = (student_channels, teacher_channels)
        self.masked = masked
        self.mask = mask
        self.align: nn.Module = nn.Identity()
        if student_channels != teacher_channels:
            self.align = nn.Conv2d(student_channels, teacher_channels, 1)
        self.generation = nn.Sequential(
            nn.Conv2d(teacher_channels, teacher_channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(teacher_channels, teacher_channels, 3, padding=1),
        )

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_channels(student, teacher, self.channels)
        B, C, H, W = teacher.shape
        aligned = call_in_precision(self.align, to_float32(student))
        # eq. 2: a random mask.
        size = (B, 1, H, W)
        if self.mask == "channel":
            size = (B, C, 1, 1)
        kept = random_sample(size, aligned) <= 1 - self.masked
        # eqs. 3 and 4: the generation block fills in what is hidden.
        generated = call_in_precision(self.generation, aligned * kept)
        # eq. 5, for one image.
        return squared_distance(generated, to_float32(teacher)) / B


def random_sample(size: tuple[int, ...], like: Tensor) -> Tensor:
    """Draw uniform numbers in [0, 1) on the device and in the precision of ``like``."""
    return torch.rand(size, device=like.device, dtype=like.dtype)
