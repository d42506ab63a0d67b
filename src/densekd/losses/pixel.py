"""Pixel-wise distillation: soft targets (arXiv 1503.02531) at every position (Liu et al., arXiv 1903.04197, eq. 1)."""

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from densekd.kernels import softmax_kl

Reduction = Literal["pixel", "element", "batch", "sum"]
Void = Literal["kept", "masked"]


class Pixel(nn.Module):
    """KL between the class distributions of student and teacher at each position.

    ``T^2 / (B H W) * sum KL(softmax_C(teacher / T) || softmax_C(student / T))``.

    Args:
        ignore_index: label of void pixels; supplied by the build.
        temperature: T > 0. CIRKD and HWD use 1 with weight 1.
        reduction: ``pixel`` (mean over positions: CIRKD, HWD, SegDistill), ``element`` (also divided by C:
            TorchDistiller, whose weight 10 is therefore 0.53 here for 19 classes), ``batch`` (divided by B alone:
            MMRazor's batchmean) or ``sum``.
        scale: factor on the divergence; ``squared`` is T^2, ``none`` leaves it out (TorchDistiller, SegDistill).
        void: ``kept`` as all originals do, or ``masked``: positions whose label, taken by nearest neighbour, is void
            are left out of sum and mean.

    Shape:
        student, teacher: logits ``[B, C, H, W]``; target: labels ``[B, H', W']`` (int64), needed when masked.
        Returns a scalar >= 0; 0 when every position is masked.

    Raises:
        ValueError: a temperature that is not positive or an unknown choice.
    """

    def __init__(
        self,
        ignore_index: int,
        temperature: float = 1.0,
        reduction: Reduction = "pixel",
        scale: Literal["squared", "none"] = "squared",
        void: Void = "kept",
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        for value, choices in ((reduction, get_args(Reduction)), (scale, ("squared", "none")), (void, get_args(Void))):
            if value not in choices:
                raise ValueError(f"'{value}' is not one of {', '.join(choices)}")
        self.ignore_index = ignore_index
        self.temperature = temperature
        self.reduction = reduction
        self.factor = temperature**2 if scale == "squared" else 1.0
        self.void = void

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        B, C, H, W = student.shape
        divergence = softmax_kl(student / self.temperature, teacher / self.temperature, dim=1)
        positions: Tensor | int = B * H * W
        if self.void == "masked":
            if target is None:
                raise ValueError("void: masked needs labels")
            labels = F.interpolate(target[:, None].float(), size=(H, W), mode="nearest")[:, 0]
            kept = labels != self.ignore_index
            divergence = divergence.where(kept, 0)
            positions = kept.sum().clamp(min=1)
        divisor = {"pixel": positions, "element": positions * C, "batch": B, "sum": 1}[self.reduction]
        return divergence.sum() / divisor * self.factor
