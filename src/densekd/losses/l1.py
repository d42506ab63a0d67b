"""L1: mean absolute difference of two maps (MMRazor's ``L1Loss``; a FitNet-style hint, Romero et al.,
arXiv 1412.6550)."""

from typing import Literal

from torch import Tensor, nn

from densekd.kernels.distance import absolute_distance
from densekd.ops.precision import to_float32
from densekd.ops.shapes import require_one_shape

Reduction = Literal["element", "sum"]


class L1(nn.Module):
    """L1 distance between features, element by element.

    ``1 / (B C H W) * sum |teacher - student|``.

    Tap: any map of one shape; features after an adapter. Weight: MMRazor ships 1 and no recipe for
    dense prediction. Cost: one difference.

    Args:
        reduction: ``element`` (mean over everything: MMRazor's ``mean``) or ``sum``.

    Shape:
        student, teacher: ``[B, C, H, W]``, any range; target: ignored. Returns a scalar >= 0.

    Raises:
        ValueError: shapes that differ.
    """

    def __init__(self, reduction: Reduction = "element") -> None:
        super().__init__()
        self.reduction = reduction

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        total = absolute_distance(to_float32(student), to_float32(teacher))
        if self.reduction == "sum":
            return total
        return total / student.numel()
