"""MGD: masked generative distillation (Yang et al., ECCV 2022, arXiv 2205.01529, eqs. 2 to 5)."""

from typing import Literal, get_args

import torch
from torch import Tensor, nn

from densekd.kernels.distance import squared_distance
from densekd.losses.inputs import require_channels, to_float32
from densekd.ops.precision import call_in_precision

Mask = Literal["position", "channel"]


class MGD(nn.Module):
    """Hide most of the student's feature and let a small generator restore the teacher's from the rest.

    ``1 / B * sum (generation(mask * align(student)) - teacher)^2``; the mask is drawn anew at every call, generation is
    conv 3x3, ReLU, conv 3x3.

    Tap: each level of a feature pyramid, ``neck.{0,1,2,3,4}``, one term per level (masked 0.65: MMRazor's detectors),
    or the last feature of a segmentor (masked 0.75: the HWD repository). Weight: 2e-5. Cost: two 3x3 convolutions of
    the teacher's width; 18 C^2 parameters that learn.

    Args:
        student_channels: channels of the student's tap; supplied by the build.
        teacher_channels: channels of the teacher's tap; supplied by the build. Where the two differ a 1x1 convolution
            ``align`` goes first.
        masked: share of the feature that is hidden, in [0, 1].
        mask: what one draw hides: a ``position`` in all channels (dense prediction) or a ``channel`` at all positions.

    Shape:
        student: ``[B, student_channels, H, W]``; teacher: ``[B, teacher_channels, H, W]``, any range; target: ignored.
        Returns a scalar >= 0, which is not zero for equal tensors.

    Raises:
        ValueError: a share outside [0, 1], an unknown mask, or tensors it was not built for.
    """

    def __init__(
        self, student_channels: int, teacher_channels: int, masked: float = 0.65, mask: Mask = "position"
    ) -> None:
        super().__init__()
        if not 0 <= masked <= 1:
            raise ValueError(f"masked must lie in [0, 1], got {masked}")
        if mask not in get_args(Mask):
            raise ValueError(f"'{mask}' is not one of {', '.join(get_args(Mask))}")
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
        size = (B, 1, H, W) if self.mask == "position" else (B, C, 1, 1)
        kept = random_sample(size, aligned) <= 1 - self.masked
        generated = call_in_precision(self.generation, aligned * kept)
        return squared_distance(generated, to_float32(teacher)) / B


def random_sample(size: tuple[int, ...], like: Tensor) -> Tensor:
    """Draw uniform numbers in [0, 1) on the device and in the precision of ``like``."""
    return torch.rand(size, device=like.device, dtype=like.dtype)
