"""DKD: decoupled knowledge distillation (Zhao et al., CVPR 2022, arXiv 2203.08679, eq. 7)."""

from typing import Literal, get_args

from torch import Tensor, nn

from densekd.kernels.decoupled_kl import decoupled_kl
from densekd.losses.inputs import labels_at, require_one_shape, to_float32

Reduction = Literal["pixel", "sum"]


class DKD(nn.Module):
    """KL divergence taken apart: label against the rest, and the rest among itself, each with its own weight.

    ``T^2 / P * sum alpha * KL([p_label, 1 - p_label]) + beta * KL(softmax over the classes other than the label)``,
    each KL between teacher and student at T, over the P positions whose label, taken by nearest neighbour, is not
    void.

    Tap: ``logits``. Weight: 1 with T = 4, alpha = 1, beta = 8 (the authors, CIFAR-100) or T = 1, alpha = 1, beta = 0.5
    (the authors and MMRazor, ImageNet). Cost: two softmax maps.

    Args:
        ignore_index: label of void pixels, which are left out of sum and mean; supplied by the build.
        temperature: T > 0.
        alpha: weight of the label's term.
        beta: weight of the other classes' term.
        reduction: ``pixel`` (mean over positions: MMRazor's ``batchmean`` of rows) or ``sum`` (MMRazor's ``sum`` and,
            by an oversight there, ``mean`` and ``none``).

    Shape:
        student, teacher: logits ``[B, C, H, W]``; target: labels ``[B, H', W']`` (int64). Returns a scalar >= 0; 0 when
        every position is void.

    Raises:
        ValueError: a temperature that is not positive, an unknown reduction, no labels, or shapes that differ.
    """

    def __init__(
        self,
        ignore_index: int,
        temperature: float = 1.0,
        alpha: float = 1.0,
        beta: float = 0.5,
        reduction: Reduction = "pixel",
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        if reduction not in get_args(Reduction):
            raise ValueError(f"'{reduction}' is not one of {', '.join(get_args(Reduction))}")
        self.ignore_index = ignore_index
        self.temperature = temperature
        self.weights = (alpha, beta)
        self.reduction = reduction

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        if target is None:
            raise ValueError("dkd needs labels")
        labels = labels_at(target, student.shape[2:])
        kept = labels != self.ignore_index
        label = labels.where(kept, 0)[:, None]
        divergence = decoupled_kl(to_float32(student), to_float32(teacher), label, self.weights, self.temperature)
        total = divergence.where(kept, 0).sum() * self.temperature**2
        return total / kept.sum().clamp(min=1) if self.reduction == "pixel" else total
