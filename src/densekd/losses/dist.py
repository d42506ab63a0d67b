"""DIST: knowledge distillation from a stronger teacher (Huang et al., NeurIPS 2022, arXiv
2205.10536)."""

from typing import Literal

from torch import Tensor, nn

from densekd.kernels.pearson import pearson
from densekd.ops.precision import to_float32
from densekd.ops.ranges import NonNegative, Positive
from densekd.ops.shapes import require_one_shape

Normalize = Literal["softmax", "none"]
Rows = Literal["positions", "images"]


class DIST(nn.Module):
    """Relational distillation: Pearson correlation of predictions, inter-class and intra-class.

    ``T^2 * (beta * inter + gamma * intra)``, ``inter`` = 1 - mean over positions of the correlation
    over classes, ``intra`` = 1 - mean over classes of the correlation over all positions of the
    batch; each correlation ``sum(s t) / (|s| |t| + 1e-8)`` between centered ``softmax_C(student / T)``
    and ``softmax_C(teacher / T)``.

    Tap: ``logits``. Weight: 1 with raw logits (HWD repository) or 2 with T = 1 (MMRazor, ImageNet),
    both with beta = gamma = 1. Cost: two softmax maps and two passes over them.

    Args:
        temperature: T > 0; taken as 1 without softmax.
        beta: weight of the relation between classes.
        gamma: weight of the relation within a class.
        normalize: ``softmax`` (the paper, MMRazor) or ``none`` (raw logits: the HWD repository).
        rows: what ``intra`` correlates over: ``positions`` of all images (the paper for
            segmentation) or ``images`` alone, for each class and position (MMRazor given 4-D maps;
            means little).

    Shape:
        student, teacher: logits ``[B, C, H, W]``; target: ignored. Returns a scalar >= 0, up to
        rounding. A constant row correlates with nothing: it costs 1, also for equal tensors.

    Raises:
        ValueError: shapes that differ.
    """

    def __init__(
        self,
        temperature: Positive = 1.0,
        beta: NonNegative = 1.0,
        gamma: NonNegative = 1.0,
        normalize: Normalize = "softmax",
        rows: Rows = "positions",
    ) -> None:
        super().__init__()
        self.temperature = temperature
        if normalize == "none":
            self.temperature = 1.0
        self.beta = beta
        self.gamma = gamma
        self.normalize = normalize
        self.rows: tuple[int, ...] = (0,)
        if rows == "positions":
            self.rows = (0, 2, 3)

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        s = to_float32(student)
        t = to_float32(teacher)
        # Correlate probabilities; raw logits have no temperature.
        if self.normalize == "softmax":
            s = (s / self.temperature).softmax(1)
            t = (t / self.temperature).softmax(1)
        # Between classes at every position, and between positions (or images) for every class.
        inter, intra = pearson(s, t, (1,), self.rows)
        relations = self.beta * (1 - inter.mean()) + self.gamma * (1 - intra.mean())
        return relations * self.temperature**2
