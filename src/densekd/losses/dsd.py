"""Double similarity distillation (Feng et al., IEEE TIP 2021, arXiv 2107.08591, section III)."""

import torch
from torch import Tensor, nn

from densekd.losses.at import attention_map
from densekd.losses.inputs import average_windows, require_one_shape, to_float32


class PSD(nn.Module):
    """Pixel-wise similarity: match how attention changes from level to level.

    ``mean over pairs n < m of 1 / (B H W) * sum_{b,i} (r_i(student) - r_i(teacher))^2`` with
    ``r = (a_m - a_n) / |a_m - a_n|_2`` and ``a`` the attention maps of ``at``. Levels whose maps agree have no
    direction: r = 0, without gradient. Tap: ``[aux, pre_logits, logits]``. Weight: CIRKD ships 1000. Cost: one pass.

    Shape:
        student, teacher: tuples of ``[B, C_k, H, W]``, one B, H, W for all; target: ignored. Returns a scalar >= 0.
    """

    def forward(self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32; too few levels or other sizes are a ValueError."""
        if not isinstance(student, tuple) or not len(student) == len(teacher) >= 2:
            raise ValueError("PSD compares levels: give student and teacher as many taps each, at least two")
        if len({(len(level), level.shape[2:]) for level in (*student, *teacher)}) > 1:
            found = (", ".join(str(list(level.shape)) for level in levels) for levels in (student, teacher))
            raise ValueError("PSD's levels must have one shape but for the channels, got {} and {}".format(*found))
        return (_residuals(student) - _residuals(teacher)).square().mean()


class CSD(nn.Module):
    """Category-wise similarity: match which classes look at the same places.

    ``1 / (B C^2) * sum (G(student) - G(teacher))^2`` with ``G = P P^T`` and ``P [C, h w]`` the softmax over positions
    of ``x / T``, x pooled by the mean of 2 x 2 windows. Tap: ``logits``. Weight: CIRKD ships 10. Cost: C x C products.

    Args:
        temperature: T > 0 (else a ValueError); CIRKD fixes it at 4.

    Shape:
        student, teacher: ``[B, C, H, W]``, any range; target: ignored. Returns a scalar >= 0.
    """

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32; shapes that differ are a ValueError."""
        require_one_shape(student, teacher)
        return (self._similarities(student) - self._similarities(teacher)).square().mean()

    def _similarities(self, x: Tensor) -> Tensor:
        places = (average_windows(to_float32(x), 2).flatten(2) / self.temperature).softmax(2)
        return places @ places.mT


class DSD(nn.Module):
    """Both: ``PSD(all levels) + category_weight * CSD(last level)``.

    Tap: ``[aux, pre_logits, logits]``. Weight: CIRKD ships 1000. Cost: that of both parts.

    Args:
        category_weight: CIRKD ships 0.01; two terms, one for each part, do the same.

    Shape:
        as ``dsd.psd``; the last levels of both models have one channel count. Returns a scalar >= 0.
    """

    def __init__(self, category_weight: float = 0.01) -> None:
        super().__init__()
        self.pixel, self.category, self.category_weight = PSD(), CSD(), category_weight

    def forward(self, student: tuple[Tensor, ...], teacher: tuple[Tensor, ...], target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32; see :class:`PSD` for shapes and errors."""
        pixel, category = self.pixel(student, teacher), self.category(student[-1], teacher[-1])
        return pixel + self.category_weight * category  # type: ignore[no-any-return]


def _residuals(levels: tuple[Tensor, ...]) -> Tensor:
    maps = torch.stack([attention_map(level) for level in levels])
    n, m = torch.triu_indices(len(levels), len(levels), offset=1, device=maps.device)
    steps = maps[m] - maps[n]
    lengths = torch.linalg.vector_norm(steps, dim=2, keepdim=True)
    # Below 1e-6 the difference of two unit vectors is rounding noise; its direction would be steep and meaningless.
    return torch.where(lengths > 1e-6, steps / lengths.clamp(min=1e-6), 0)
