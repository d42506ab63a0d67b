"""DSD: double similarity distillation (Feng et al., IEEE TIP 2021, arXiv 2107.08591, section III)."""

import torch
from torch import Tensor, nn

from densekd.losses.at import attention_map
from densekd.losses.inputs import average_windows, require_levels
from densekd.ops.precision import to_float32
from densekd.ops.ranges import NonNegative, Positive
from densekd.ops.shapes import require_one_shape

Maps = tuple[Tensor, ...]


class PSD(nn.Module):
    """Pixel-wise similarity distillation: how spatial attention changes from level to level.

    ``mean over pairs n < m of 1 / (B H W) * sum_{b,i} (r_i(student) - r_i(teacher))^2`` with
    ``r = (a_m - a_n) / |a_m - a_n|_2`` and ``a`` the attention maps of ``at``. Levels whose maps agree
    have no direction: r = 0, without gradient.

    Tap: ``[aux, pre_logits, logits]``. Weight: CIRKD ships 1000. Cost: one pass over all maps.

    Shape:
        student, teacher: tuples of ``[B, C_k, H, W]``, one B, H, W for all; target: ignored. Returns
        a scalar >= 0.

    Raises:
        ValueError: fewer than two levels, or levels of other sizes.
    """

    def forward(self, student: Maps, teacher: Maps, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_levels(student, teacher)
        return (_residuals(student) - _residuals(teacher)).square().mean()


class CSD(nn.Module):
    """Category-wise similarity distillation: which classes are active at the same places.

    ``1 / (B C^2) * sum (G(student) - G(teacher))^2`` with ``G = P P^T`` and ``P [C, h w]`` the softmax
    over positions of ``x / T``, x pooled by the mean of 2 x 2 windows.

    Tap: ``logits``. Weight: CIRKD ships 10. Cost: C x C products.

    Args:
        temperature: T > 0; CIRKD fixes it at 4.

    Shape:
        student, teacher: ``[B, C, H, W]``, any range; target: ignored. Returns a scalar >= 0.

    Raises:
        ValueError: shapes that differ.
    """

    def __init__(self, temperature: Positive = 4.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_shape(student, teacher)
        return (self._similarities(student) - self._similarities(teacher)).square().mean()

    def _similarities(self, x: Tensor) -> Tensor:
        """Return G ``[B, C, C]``."""
        # P: a softmax over places for every class; G: the products of all pairs of classes.
        pooled = average_windows(to_float32(x), 2).flatten(2)
        places = (pooled / self.temperature).softmax(2)
        return places @ places.mT


class DSD(nn.Module):
    """Double similarity distillation: pixel-wise over all levels, category-wise on the last.

    ``PSD(all levels) + category_weight * CSD(last level)``.

    Tap: ``[aux, pre_logits, logits]``. Weight: CIRKD ships 1000. Cost: that of both parts.

    Args:
        category_weight: CIRKD ships 0.01; two terms, one for each part, do the same.

    Shape:
        as ``dsd.psd``; the last levels of both models have one channel count. Returns a scalar >= 0.

    Raises:
        ValueError: see :class:`PSD`.
    """

    def __init__(self, category_weight: NonNegative = 0.01) -> None:
        super().__init__()
        self.pixel = PSD()
        self.category = CSD()
        self.category_weight = category_weight

    def forward(self, student: Maps, teacher: Maps, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        pixel = self.pixel(student, teacher)
        category = self.category(student[-1], teacher[-1])
        return pixel + self.category_weight * category  # type: ignore[no-any-return]


def _residuals(levels: Maps) -> Tensor:
    """Return the direction from one level's attention to a later one's, for every pair of levels."""
    maps = torch.stack([attention_map(level) for level in levels])
    n, m = torch.triu_indices(len(levels), len(levels), offset=1, device=maps.device)
    steps = maps[m] - maps[n]
    lengths = torch.linalg.vector_norm(steps, dim=2, keepdim=True)
    # Below 1e-6 the difference of two unit vectors is rounding noise; its direction would be steep
    # and meaningless.
    return torch.where(lengths > 1e-6, steps / lengths.clamp(min=1e-6), 0)
