"""Logit standardization (Sun et al., CVPR 2024, arXiv 2403.01427): KL of standardized logits."""

import torch.nn.functional as F
from torch import Tensor, nn

from densekd.ops.precision import to_float32
from densekd.ops.ranges import Positive
from densekd.ops.shapes import require_one_shape


class LSKD(nn.Module):
    """Pixel-wise divergence of logits that have mean 0 and variance 1 over the classes.

    ``T^2 * mean_bhw KL(softmax_C(z(teacher) / T) || softmax_C(z(student) / T))`` with
    ``z(x) = (x - mean_C(x)) / sqrt(var_C(x) + eps)``.

    Tap: ``logits``. Weight: 9 with T = 2 (the authors, image classification). Cost: two softmax maps.

    Args:
        temperature: T > 0.

    Shape:
        student, teacher: ``[B, C, H, W]``, any range; target: ignored. Returns a scalar >= 0.

    Raises:
        ValueError: shapes that differ.
    """

    def __init__(self, temperature: Positive = 2.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        # eps keeps the gradient finite where all logits of a pixel are equal.
        s = F.log_softmax(self._standardized(student) / self.temperature, dim=-1)
        t = F.log_softmax(self._standardized(teacher) / self.temperature, dim=-1)
        divergence = F.kl_div(s, t, reduction="none", log_target=True).sum(-1)
        return self.temperature**2 * divergence.mean()

    def _standardized(self, x: Tensor) -> Tensor:
        """Standardize over the classes: ``[B, C, H, W]`` to ``[B, H, W, C]``."""
        x = to_float32(x).movedim(1, -1)
        return F.layer_norm(x, x.shape[-1:])
