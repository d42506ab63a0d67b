"""HWD: holistic weighted distillation (Sun et al., ICME 2023, IEEE Xplore 10220035; there is no arXiv
version)."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.kernels import channel_kl
from densekd.losses.inputs import labels_at, require_labels
from densekd.ops.class_weights import class_counts, geometric_weight, standardize
from densekd.ops.precision import to_float32
from densekd.ops.ranges import Positive
from densekd.ops.shapes import require_one_shape

Distance = Literal["mse", "l1", "smooth_l1", "kl"]
Values = Literal["logits", "activations"]
Division = Literal["none", "N", "SqrtN", "N2"]
Process = Literal["E", "T"]

_POINTWISE: dict[str, Callable[..., Tensor]] = {
    "mse": F.mse_loss,
    "l1": F.l1_loss,
    "smooth_l1": F.smooth_l1_loss,
}
_POWER = {"none": 0.0, "N": 1.0, "SqrtN": 0.5, "N2": 2.0}


class HWD(nn.Module):
    """Class-weighted channel-wise distillation: classes weigh by how far the student still is.

    ``T^2 / (B C) * sum_{b,c} weight_{b,c} KL(softmax_HW(teacher / T) || softmax_HW(student / T))``,
    channel = class. ``weight = C softmax_c((1 - a^w) / (1 - a))`` (E) or ``C softmax_c(w / a)`` (T)
    has no gradient; ``w`` is a distance summed over positions, over a power of 1 + the class's
    pixels, standardized over the image's classes, and shifted.

    Tap: ``logits``. Weight: 3 with T = 4, fixed by the authors; their command has ``activations``,
    ``N`` and shift 1. Cost: that of CWD and one pass more for the distance.

    Args:
        distance: ``mse``, ``l1``, ``smooth_l1``, or ``kl``, which needs activations.
        values: what the distance compares, ``logits`` or ``activations``, the softmax maps above.
        pixel_division: DivPixel, a power of 0 (``none``), 1 (``N``), 1/2 (``SqrtN``) or 2 (``N2``).
        shift: added after standardizing; None leaves ``w`` as it is.
        process: ``E`` or ``T``.
        parameter: a above, > 0; with E, a = 1 means ``w`` itself.
        temperature: T > 0.

    Shape:
        student, teacher: logits ``[B, C, H, W]``; target: labels ``[B, H', W']`` (int64), needed for a
        division; those outside 0..C-1 are void. Returns a scalar >= 0.

    Raises:
        ValueError: ``kl`` on logits, missing labels, shapes that differ.
    """

    def __init__(
        self,
        distance: Distance = "mse",
        values: Values = "logits",
        pixel_division: Division = "none",
        shift: float | None = 0.0,
        process: Process = "E",
        parameter: Positive = 0.1,
        temperature: Positive = 4.0,
    ) -> None:
        super().__init__()
        # Only a softmax makes distributions.
        if distance == "kl" and values == "logits":
            raise ValueError("KL needs distributions, logits are none. Use values: activations")
        self.distance = distance
        self.values = values
        self.power = _POWER[pixel_division]
        self.shift = shift
        self.process = process
        self.parameter = parameter
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        B, C, H, W = student.shape
        s = to_float32(student).flatten(2)
        t = to_float32(teacher).flatten(2)
        # The distances come before the divergence, which keeps a map for the backward pass.
        if self.distance == "kl":
            divergence = channel_kl(s, t, self.temperature)
            w = divergence.detach()
        else:
            w = self._distances(s, t)
            divergence = channel_kl(s, t, self.temperature)
        # DivPixel: a class of many pixels has a large sum.
        if self.power:
            labels = labels_at(require_labels(target, B, "a pixel_division"), (H, W))
            w = w / (1 + class_counts(labels, C)).to(w.dtype) ** self.power
        # The weights of an image's classes have mean 1.
        weight = C * self._scores(w).softmax(1)
        return (weight * divergence).sum() * (self.temperature**2 / (B * C))

    @torch.no_grad()
    def _distances(self, s: Tensor, t: Tensor) -> Tensor:
        """Return the distance of every class summed over positions, ``[B, C]``."""
        if self.values == "activations":
            s = (s / self.temperature).softmax(2)
            t = (t / self.temperature).softmax(2)
        return _POINTWISE[self.distance](s, t, reduction="none").sum(2)

    def _scores(self, w: Tensor) -> Tensor:
        """Return what the softmax over the classes is taken of: ``[B, C]`` -> ``[B, C]``."""
        # Compare the classes of one image with each other.
        if self.shift is not None:
            w = standardize(w) + self.shift
        if self.process == "E":
            return geometric_weight(w, self.parameter)
        return w / self.parameter
