"""PKD: feature distillation by Pearson correlation (Cao et al., NeurIPS 2022, arXiv 2207.02039)."""

from typing import Literal, get_args

from torch import Tensor, nn

from densekd.kernels.standard_distance import standard_distance
from densekd.losses.inputs import require_one_shape, to_float32
from densekd.ops.interpolation import resize

Resize = Literal["student", "teacher"]


class PKD(nn.Module):
    """Match features whose every channel is standardized over the batch: one minus their Pearson correlation.

    ``1 / 2 * mean((n(student) - n(teacher))^2)`` with ``n(x) = (x - mean_c) / (std_c + 1e-6)``, mean and unbiased
    standard deviation of each channel over batch, height and width.

    Tap: each level of a feature pyramid, ``neck.{0,1,2,3}``, one term per level. Weight: 6 (two-stage detectors) or 10
    (one-stage) as MMRazor ships them. Cost: two passes over each map; no parameters.

    Args:
        resize: which of the two is resized bilinearly to the other where their sizes differ: ``student`` (default of
            MMRazor) or ``teacher``.

    Shape:
        student: ``[B, C, H, W]``; teacher: ``[B, C, H', W']``, any range; target: ignored. Returns a scalar >= 0.
        A constant channel is standardized to zero.

    Raises:
        ValueError: an unknown choice, or batch sizes or channels that differ.
    """

    def __init__(self, resize: Resize = "student") -> None:
        super().__init__()
        if resize not in get_args(Resize):
            raise ValueError(f"'{resize}' is not one of {', '.join(get_args(Resize))}")
        self.resize = resize

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        if student.shape[:2] != teacher.shape[:2]:
            require_one_shape(student, teacher)
        student, teacher = to_float32(student), to_float32(teacher)
        if student.shape[2:] != teacher.shape[2:]:
            if self.resize == "student":
                student = resize(student, teacher.shape[2:])
            else:
                teacher = resize(teacher, student.shape[2:])
        return standard_distance(student, teacher) / 2
