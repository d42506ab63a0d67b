"""Holistic weighted distillation (Sun et al., ICME 2023, IEEE Xplore 10220035; there is no arXiv version)."""

from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.kernels import channel_kl
from densekd.losses.inputs import labels_at, require_one_shape, to_float32
from densekd.ops.class_weights import class_counts, geometric_weight, standardize

Distance = Literal["mse", "l1", "smooth_l1", "kl"]
Values = Literal["logits", "activations"]
Division = Literal["none", "N", "SqrtN", "N2"]
Process = Literal["E", "T"]

_POINTWISE: dict[str, Any] = {"mse": F.mse_loss, "l1": F.l1_loss, "smooth_l1": F.smooth_l1_loss}
_POWER = {"none": 0.0, "N": 1.0, "SqrtN": 0.5, "N2": 2.0}


class HWD(nn.Module):
    """Channel-wise distillation in which every image weighs its classes by how far the student still is.

    ``T^2 / (B C) * sum_{b,c} weight_{b,c} KL(softmax_HW(teacher / T) || softmax_HW(student / T))``, channel = class.
    ``weight = C softmax_c((1 - a^w) / (1 - a))`` (E) or ``C softmax_c(w / a)`` (T) has no gradient; ``w`` is a distance
    summed over positions, over a power of 1 + the class's pixels, standardized over the image's classes, and shifted.

    Tap: ``logits``. Weight: 3 with T = 4, fixed by the authors; their command has ``activations``, ``N`` and shift 1.
    Cost: that of CWD and one pass more for the distance.

    Args:
        distance: ``mse``, ``l1``, ``smooth_l1``, or ``kl``, which needs activations.
        values: what the distance compares, ``logits`` or ``activations``, the softmax maps above.
        pixel_division: DivPixel, a power of 0 (``none``), 1 (``N``), 1/2 (``SqrtN``) or 2 (``N2``).
        shift: added after standardising; None leaves ``w`` as it is.
        process: ``E`` or ``T``.
        parameter, temperature: a and T above, both > 0; with E, a = 1 means ``w`` itself.

    Shape:
        student, teacher: logits ``[B, C, H, W]``; target: labels ``[B, H', W']`` (int64), needed for a division; those
        outside 0..C-1 are void. Returns a scalar >= 0.

    Raises:
        ValueError: a value out of range, an unknown choice, ``kl`` on logits, missing labels, shapes that differ.
    """

    def __init__(
        self,
        distance: Distance = "mse",
        values: Values = "logits",
        pixel_division: Division = "none",
        shift: float | None = 0.0,
        process: Process = "E",
        parameter: float = 0.1,
        temperature: float = 4.0,
    ) -> None:
        super().__init__()
        if parameter <= 0 or temperature <= 0:
            raise ValueError(f"parameter and temperature must be positive, got {parameter} and {temperature}")
        for value, choices in ((distance, Distance), (values, Values), (pixel_division, Division), (process, Process)):
            if value not in get_args(choices):
                raise ValueError(f"'{value}' is not one of {', '.join(get_args(choices))}")
        if distance == "kl" and values == "logits":
            raise ValueError("KL needs distributions, logits are none. Use values: activations")
        self.distance, self.values, self.power = distance, values, _POWER[pixel_division]
        self.shift, self.process, self.parameter, self.temperature = shift, process, parameter, temperature

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        B, C, H, W = student.shape
        s, t = (to_float32(x).flatten(2) for x in (student, teacher))
        apart = None if self.distance == "kl" else self._distances(s, t)  # first: the divergence keeps a map
        divergence = channel_kl(s, t, self.temperature)
        w = divergence.detach() if apart is None else apart
        if self.power:
            if target is None:
                raise ValueError("a pixel_division needs labels")
            w = w / (1 + class_counts(labels_at(target, (H, W)), C)).to(w.dtype) ** self.power
        w = w if self.shift is None else standardize(w) + self.shift
        weight = C * (geometric_weight(w, self.parameter) if self.process == "E" else w / self.parameter).softmax(1)
        return (weight * divergence).sum() * (self.temperature**2 / (B * C))

    @torch.no_grad()
    def _distances(self, s: Tensor, t: Tensor) -> Tensor:
        if self.values == "activations":
            s, t = ((x / self.temperature).softmax(2) for x in (s, t))
        return _POINTWISE[self.distance](s, t, reduction="none").sum(2)  # type: ignore[no-any-return]
