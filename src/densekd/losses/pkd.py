"""PKD: feature distillation by Pearson correlation (Cao et al., NeurIPS 2022, arXiv 2207.02039)."""

from typing import Literal

from torch import Tensor, nn

from densekd.kernels.standard_distance import standard_distance
from densekd.ops.interpolation import resize
from densekd.ops.precision import to_float32
from densekd.ops.shapes import require_one_shape

Resize = Literal["student", "teacher"]


class PKD(nn.Module):
    """Pearson feature distillation: squared error of features standardized channel by channel.

    ``1 / 2 * mean((n(student) - n(teacher))^2)`` with ``n(x) = (x - mean_c) / (std_c + 1e-6)``, mean
    and unbiased standard deviation of each channel over batch, height and width: one minus the
    Pearson correlation.

    Tap: each level of a feature pyramid, ``neck.{0,1,2,3}``, one term per level. Weight: 6 (two-stage
    detectors) or 10 (one-stage) as MMRazor ships them. Cost: two passes over each map; no
    parameters.

    Args:
        resize: which of the two is resized bilinearly to the other where their sizes differ:
            ``student`` (default of MMRazor) or ``teacher``.

    Shape:
        student: ``[B, C, H, W]``; teacher: ``[B, C, H', W']``, any range; target: ignored. Returns a
        scalar >= 0. A constant channel is standardized to zero.

    Raises:
        ValueError: batch sizes or channels that differ.
    """

    def __init__(self, resize: Resize = "student") -> None:
        super().__init__()
        self.resize = resize

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        # Only height and width may differ.
        if student.shape[:2] != teacher.shape[:2]:
            require_one_shape(student, teacher)
        s = to_float32(student)
        t = to_float32(teacher)
        # Bring both to one size; nothing happens where they have it.
        if self.resize == "student":
            s = resize(s, t.shape[2:])
        else:
            t = resize(t, s.shape[2:])
        return standard_distance(s, t) / 2
