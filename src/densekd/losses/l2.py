"""Squared distance of two maps, each sample brought to unit length first (MMRazor's ``L2Loss``)."""

from typing import Literal, get_args

from torch import Tensor, nn

from densekd.kernels.distance import euclidean_distance, squared_distance
from densekd.losses.inputs import require_one_shape, to_float32
from densekd.ops.unit import unit

Normalize = Literal["sample", "none"]
Reduction = Literal["batch", "element", "distance"]


class L2(nn.Module):
    """Squared distance between the directions of two maps.

    ``1 / B * sum_b |mult * student_b / |student_b| - mult * teacher_b / |teacher_b||^2``, each image one vector of C H
    W values.

    Tap: features behind an adapter. Weight: MMRazor ships 1 and no recipe for dense prediction. Cost: two norms and a
    difference.

    Args:
        normalize: ``sample`` divides every image's vector by its length (MMRazor's default), ``none`` takes it raw.
        mult: length of the normalized vectors; without meaning for ``none``. MMRazor ships 1.
        reduction: ``batch`` (sum / B), ``element`` (mean over everything, MMRazor's ``div_element``) or ``distance``
            (the square root of the sum over the whole batch, MMRazor's ``dist``).

    Shape:
        student, teacher: ``[B, C, H, W]``, any range; target: ignored. Returns a scalar >= 0. A sample of zeros has no
        direction: it stays zero and gets no gradient.

    Raises:
        ValueError: an unknown choice, a length that is not positive, or shapes that differ.
    """

    def __init__(self, normalize: Normalize = "sample", mult: float = 1.0, reduction: Reduction = "batch") -> None:
        super().__init__()
        for value, choices in ((normalize, get_args(Normalize)), (reduction, get_args(Reduction))):
            if value not in choices:
                raise ValueError(f"'{value}' is not one of {', '.join(choices)}")
        if mult <= 0:
            raise ValueError(f"mult must be positive, got {mult}")
        self.normalize = normalize
        self.mult = mult if normalize == "sample" else 1.0
        self.reduction = reduction

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        s, t = self._vectors(student), self._vectors(teacher)
        if self.reduction == "distance":
            return euclidean_distance(s, t) * self.mult
        divisor = len(student) if self.reduction == "batch" else student.numel()
        return squared_distance(s, t) * (self.mult**2 / divisor)

    def _vectors(self, x: Tensor) -> Tensor:
        x = to_float32(x).flatten(1)
        return unit(x, 1) if self.normalize == "sample" else x
