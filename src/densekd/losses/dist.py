"""DIST: knowledge distillation from a stronger teacher (Huang et al., NeurIPS 2022, arXiv 2205.10536)."""

from typing import Literal, get_args

from torch import Tensor, nn

from densekd.kernels.pearson import pearson
from densekd.losses.inputs import require_one_shape, to_float32

Normalize = Literal["softmax", "none"]
UpsampledRows = Literal["positions", "images"]


class DIST(nn.Module):
    """Match relations, not values: Pearson correlation between classes at a position and between positions for a class.

    ``T^2 * (beta * inter + gamma * intra)``, ``inter`` = 1 - mean over positions of the correlation over classes,
    ``intra`` = 1 - mean over classes of the correlation over all positions of the batch; each correlation
    ``sum(s t) / (|s| |t| + 1e-8)`` between centered ``softmax_C(student / T)`` and ``softmax_C(teacher / T)``.

    Tap: ``logits``. Weight: 1 with raw logits (HWD repository) or 2 with T = 1 (MMRazor, ImageNet), both with beta =
    gamma = 1. Cost: two softmax maps and two passes over them.

    Args:
        temperature: T > 0; taken as 1 without softmax.
        beta: weight of the relation between classes.
        gamma: weight of the relation within a class.
        normalize: ``softmax`` (the paper, MMRazor) or ``none`` (raw logits: the HWD repository).
        rows: what ``intra`` correlates over: ``positions`` of all images (the paper for segmentation) or ``images``
            alone, for each class and position (MMRazor given 4-D maps; means little).

    Shape:
        student, teacher: logits ``[B, C, H, W]``; target: ignored. Returns a scalar >= 0, up to rounding. A constant
        row correlates with nothing: it costs 1, also for equal tensors.

    Raises:
        ValueError: a temperature that is not positive, an unknown choice, or shapes that differ.
    """

    def __init__(
        self,
        temperature: float = 1.0,
        beta: float = 1.0,
        gamma: float = 1.0,
        normalize: Normalize = "softmax",
        rows: UpsampledRows = "positions",
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        for value, choices in ((normalize, get_args(Normalize)), (rows, get_args(UpsampledRows))):
            if value not in choices:
                raise ValueError(f"'{value}' is not one of {', '.join(choices)}")
        self.temperature = temperature if normalize == "softmax" else 1.0
        self.beta, self.gamma = beta, gamma
        self.normalize = normalize
        self.rows = (0, 2, 3) if rows == "positions" else (0,)

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        s, t = to_float32(student), to_float32(teacher)
        if self.normalize == "softmax":
            s, t = (s / self.temperature).softmax(1), (t / self.temperature).softmax(1)
        inter, intra = (1 - correlations.mean() for correlations in pearson(s, t, (1,), self.rows))
        return (self.beta * inter + self.gamma * intra) * self.temperature**2
