"""Pixel-wise distillation: soft targets (arXiv 1503.02531) at every position (Liu et al., arXiv 1903.04197, eq. 1)."""

from typing import Literal, get_args

import torch.nn.functional as F
from torch import Tensor, nn

from densekd.kernels import Upsample, pixel_kl, resized_pixel_kl, soft_cross_entropy
from densekd.losses.inputs import labels_at, require_one_shape, to_float32

Divergence = Literal["kl", "soft_ce", "hard_ce"]
Reduction = Literal["pixel", "element", "batch", "sum"]
Scale = Literal["squared", "none"]
Void = Literal["kept", "masked"]


class Pixel(nn.Module):
    """KL between the class distributions of student and teacher at each position.

    ``T^2 / (B H W) * sum KL(softmax_C(teacher / T) || softmax_C(student / T))``.

    Tap: ``logits``. Weight: CIRKD and HWD ship 1 with T = 1. Cost: two softmax maps.

    Args:
        ignore_index: label of void pixels; supplied by the build.
        temperature: T > 0.
        reduction: ``pixel`` (mean over positions: CIRKD, HWD, SegDistill), ``element`` (also divided by C:
            TorchDistiller, whose 10 is 0.53 here for 19 classes), ``batch`` (by B: MMRazor's batchmean) or ``sum``.
        scale: factor on the divergence; ``squared`` is T^2, ``none`` leaves it out (TorchDistiller, SegDistill).
        void: ``kept`` as all originals do, or ``masked``: positions whose label, taken by nearest neighbour, is void
            are left out of sum and mean.
        divergence: ``kl``; ``soft_ce``, the cross-entropy, which leaves in the teacher's entropy and has the same
            gradient (MMRazor's KDSoftCELoss); ``hard_ce``, that with the teacher's most likely class, without
            temperature (MMRazor's CrossEntropyLoss).

    Shape:
        student, teacher: logits ``[B, C, H, W]``; target: labels ``[B, H', W']`` (int64), needed when masked.
        Returns a scalar >= 0; 0 when every position is masked.

    Raises:
        ValueError: a temperature that is not positive, or not 1 with ``hard_ce``, or an unknown choice.
    """

    def __init__(
        self,
        ignore_index: int,
        temperature: float = 1.0,
        reduction: Reduction = "pixel",
        scale: Scale = "squared",
        void: Void = "kept",
        divergence: Divergence = "kl",
    ) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        for value, choices in ((reduction, Reduction), (scale, Scale), (void, Void), (divergence, Divergence)):
            if value not in get_args(choices):
                raise ValueError(f"'{value}' is not one of {', '.join(get_args(choices))}")
        if divergence == "hard_ce" and temperature != 1:
            raise ValueError(f"divergence: hard_ce knows no temperature, got {temperature}")
        self.ignore_index, self.temperature, self.reduction = ignore_index, temperature, reduction
        self.factor = temperature**2 if scale == "squared" else 1.0
        self.void, self.divergence = void, divergence

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        divergence = self._divergence(student, teacher)
        kept, divisor = self._counted(student, (student.shape[2], student.shape[3]), target)
        return (divergence if kept is None else divergence.where(kept, 0)).sum() / divisor * self.factor

    def resized(self, student: Tensor, teacher: Tensor, to: Upsample, target: Tensor | None = None) -> Tensor:
        """Return the loss of the enlarged maps, which with ``kl`` are never held."""
        if self.divergence != "kl":
            return self.forward(to(student), to(teacher), target)
        kept, divisor = self._counted(student, to.size, target)
        return resized_pixel_kl(student, teacher, to, self.temperature, kept) / divisor * self.factor

    def _counted(self, x: Tensor, size: tuple[int, int], target: Tensor | None) -> tuple[Tensor | None, Tensor | int]:
        """Say which positions count, None for all, and the divisor of the sum."""
        B, C = x.shape[:2]
        if self.void == "masked" and target is None:
            raise ValueError("void: masked needs labels")
        kept = None if self.void == "kept" or target is None else labels_at(target, size) != self.ignore_index
        positions = B * size[0] * size[1] if kept is None else kept.sum().clamp(min=1)
        return kept, {"pixel": positions, "element": positions * C, "batch": B, "sum": 1}[self.reduction]

    def _divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> ``[B, H, W]``."""
        if self.divergence == "kl":
            return pixel_kl(student, teacher, self.temperature)
        if self.divergence == "soft_ce":
            return soft_cross_entropy(student, teacher, 1, self.temperature)
        require_one_shape(student, teacher)
        return F.cross_entropy(to_float32(student), teacher.argmax(1), reduction="none")
