"""Mean absolute difference of two maps (MMRazor's ``L1Loss``; a FitNet-style hint, Romero et al., arXiv 1412.6550)."""

from typing import Literal, get_args

from torch import Tensor, nn

from densekd.kernels.distance import absolute_distance
from densekd.losses.inputs import require_one_shape, to_float32

Reduction = Literal["element", "sum"]


class L1(nn.Module):
    """Absolute difference of two maps, element by element.

    ``1 / (B C H W) * sum |teacher - student|``.

    Tap: any map of one shape; features behind an adapter. Weight: MMRazor ships 1 and no recipe for dense prediction.
    Cost: one difference.

    Args:
        reduction: ``element`` (mean over everything: MMRazor's ``mean``) or ``sum``.

    Shape:
        student, teacher: ``[B, C, H, W]``, any range; target: ignored. Returns a scalar >= 0.

    Raises:
        ValueError: an unknown reduction, or shapes that differ.
    """

    def __init__(self, reduction: Reduction = "element") -> None:
        super().__init__()
        if reduction not in get_args(Reduction):
            raise ValueError(f"'{reduction}' is not one of {', '.join(get_args(Reduction))}")
        self.reduction = reduction

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        total = absolute_distance(to_float32(student), to_float32(teacher))
        return total / student.numel() if self.reduction == "element" else total
