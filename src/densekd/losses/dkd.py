"""DKD: decoupled knowledge distillation (Zhao et al., CVPR 2022, arXiv 2203.08679, eq. 7)."""

from typing import Literal

from torch import Tensor, nn

from densekd.kernels.decoupled_kl import decoupled_kl
from densekd.losses.inputs import labels_at, require_labels
from densekd.ops.precision import to_float32
from densekd.ops.ranges import NonNegative, Positive
from densekd.ops.shapes import require_one_shape

Reduction = Literal["pixel", "sum"]


class DKD(nn.Module):
    """Decoupled distillation: KL of the target class against the rest, and of the rest in itself.

    ``T^2 / P * sum alpha * KL([p_label, 1 - p_label]) + beta * KL(softmax over the classes other than
    the label)``, each KL between teacher and student at T, over the P positions whose label, taken
    by nearest neighbour, is not void.

    Tap: ``logits``. Weight: 1 with T = 4, alpha = 1, beta = 8 (the authors, CIFAR-100) or T = 1,
    alpha = 1, beta = 0.5 (the authors and MMRazor, ImageNet). Cost: two softmax maps.

    Args:
        ignore_index: label of void pixels, left out of sum and mean; supplied by the build.
        temperature: T > 0.
        alpha: weight of the target class' term.
        beta: weight of the other classes' term.
        reduction: ``pixel`` (mean over positions: MMRazor's ``batchmean`` of rows) or ``sum``
            (MMRazor's ``sum`` and, by an oversight there, ``mean`` and ``none``).

    Shape:
        student, teacher: logits ``[B, C, H, W]``; target: labels ``[B, H', W']`` (int64). Returns a
        scalar >= 0; 0 when every position is void.

    Raises:
        ValueError: no labels, or shapes that differ.
    """

    def __init__(
        self,
        ignore_index: int,
        temperature: Positive = 1.0,
        alpha: NonNegative = 1.0,
        beta: NonNegative = 0.5,
        reduction: Reduction = "pixel",
    ) -> None:
        super().__init__()
        self.ignore_index = ignore_index
        self.temperature = temperature
        self.alpha = alpha
        self.beta = beta
        self.reduction = reduction

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        B, _, H, W = student.shape
        labels = labels_at(require_labels(target, B), (H, W))
        kept = labels != self.ignore_index
        # Void positions get some class here and are taken out of the sum below.
        label = labels.where(kept, 0)[:, None]
        s = to_float32(student)
        t = to_float32(teacher)
        # eq. 7 at every position.
        divergence = decoupled_kl(s, t, label, (self.alpha, self.beta), self.temperature)
        total = divergence.where(kept, 0).sum() * self.temperature**2
        if self.reduction == "sum":
            return total
        return total / kept.sum().clamp(min=1)
