"""Pixel-wise distillation: soft targets (Hinton et al., arXiv 1503.02531) at every position (Liu et
al., arXiv 1903.04197, eq. 1)."""

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from densekd.kernels import Upsample, pixel_kl, resized_pixel_kl, soft_cross_entropy
from densekd.losses.inputs import labels_at, require_labels
from densekd.ops.precision import to_float32
from densekd.ops.ranges import Positive
from densekd.ops.shapes import require_one_shape

Divergence = Literal["kl", "soft_ce", "hard_ce"]
Reduction = Literal["pixel", "element", "batch", "sum"]
Scale = Literal["squared", "none"]
Void = Literal["kept", "masked"]


class Pixel(nn.Module):
    """Pixel-wise distillation: KL between the class distributions at each position.

    ``T^2 / (B H W) * sum KL(softmax_C(teacher / T) || softmax_C(student / T))``.

    Tap: ``logits``. Weight: CIRKD and HWD ship 1 with T = 1. Cost: two softmax maps.

    Args:
        ignore_index: label of void pixels; supplied by the build.
        temperature: T > 0.
        reduction: ``pixel`` (mean over positions: CIRKD, HWD, SegDistill), ``element`` (also divided
            by C: TorchDistiller, whose 10 is 0.53 here for 19 classes), ``batch`` (by B: MMRazor's
            batchmean) or ``sum``.
        scale: factor on the divergence; ``squared`` is T^2, ``none`` leaves it out (TorchDistiller,
            SegDistill).
        void: ``kept`` as all originals do, or ``masked``: positions whose label, taken by nearest
            neighbour, is void are left out of sum and mean.
        divergence: ``kl``; ``soft_ce``, the cross-entropy, which leaves in the teacher's entropy and
            has the same gradient (MMRazor's KDSoftCELoss); ``hard_ce``, that with the teacher's most
            likely class, without temperature (MMRazor's CrossEntropyLoss).

    Shape:
        student, teacher: logits ``[B, C, H, W]``; target: labels ``[B, H', W']`` (int64), needed when
        masked. Returns a scalar >= 0; 0 when every position is masked.

    Raises:
        ValueError: ``hard_ce`` with a temperature, missing labels, shapes that differ.
    """

    def __init__(
        self,
        ignore_index: int,
        temperature: Positive = 1.0,
        reduction: Reduction = "pixel",
        scale: Scale = "squared",
        void: Void = "kept",
        divergence: Divergence = "kl",
    ) -> None:
        super().__init__()
        if divergence == "hard_ce" and temperature != 1:
            raise ValueError(f"divergence: hard_ce knows no temperature, got {temperature}")
        self.ignore_index = ignore_index
        self.temperature = temperature
        self.reduction = reduction
        self.factor = 1.0
        if scale == "squared":
            self.factor = temperature**2
        self.void = void
        self.divergence = divergence
        # The kernels of the KL read half precision and compute in float32.
        self.takes_half = divergence == "kl"

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        # eq. 1 at every position.
        divergence = self._divergence(student, teacher)
        B, C, H, W = student.shape
        kept = self._kept(target, B, (H, W))
        if kept is not None:
            divergence = divergence.where(kept, 0)
        return divergence.sum() / self._divisor(kept, (B, C, H, W)) * self.factor

    def resized(self, student: Tensor, teacher: Tensor, to: Upsample, target: Tensor | None = None) -> Tensor:
        """Return the loss of the upsampled maps, which with ``kl`` are never held."""
        if self.divergence != "kl":
            return self.forward(to(student), to(teacher), target)
        B, C = student.shape[:2]
        kept = self._kept(target, B, to.size)
        # The kernel sums over the upsampled positions that count.
        total = resized_pixel_kl(student, teacher, to, self.temperature, kept)
        return total / self._divisor(kept, (B, C, *to.size)) * self.factor

    def _kept(self, target: Tensor | None, images: int, size: tuple[int, int]) -> Tensor | None:
        """Return which positions count, ``[B, H, W]``; None for all."""
        if self.void == "kept":
            return None
        labels = labels_at(require_labels(target, images, "void: masked"), size)
        return labels != self.ignore_index

    def _divisor(self, kept: Tensor | None, shape: tuple[int, int, int, int]) -> Tensor | int:
        """Return what the sum over positions is divided by."""
        B, C, H, W = shape
        if self.reduction == "batch":
            return B
        if self.reduction == "sum":
            return 1
        positions: Tensor | int = B * H * W
        if kept is not None:
            positions = kept.sum().clamp(min=1)
        if self.reduction == "element":
            return positions * C
        return positions

    def _divergence(self, student: Tensor, teacher: Tensor) -> Tensor:
        """``[B, C, H, W]`` -> ``[B, H, W]``."""
        if self.divergence == "kl":
            return pixel_kl(student, teacher, self.temperature)
        if self.divergence == "soft_ce":
            return soft_cross_entropy(student, teacher, 1, self.temperature)
        # The teacher's most likely class as a label.
        require_one_shape(student, teacher)
        return F.cross_entropy(to_float32(student), teacher.argmax(1), reduction="none")
