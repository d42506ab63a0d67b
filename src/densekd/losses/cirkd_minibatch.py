"""Cross-image relational distillation within a mini-batch (Yang et al., CVPR 2022, arXiv 2204.06986)."""

import torch.nn.functional as F
from torch import Tensor, nn

from densekd.kernels.similarity_kl import similarity_kl
from densekd.kernels.unit import unit
from densekd.losses.inputs import require_one_map, widen


class CIRKDMiniBatch(nn.Module):
    """Match how similar each pixel is to all pixels of every image of the batch.

    ``1 / (B^2 HW) * sum_{i,j,p} KL(softmax_q(t_ip . t_jq / T) || softmax_q(s_ip . s_jq / T))`` over all ordered pairs
    of images (i, j), i = j among them; features have unit length, there is no T^2. Maps of at least 256x256 are first
    averaged over 4x4 windows, as released. A process compares its own images.

    Tap: ``pre_logits``. Weight: the authors ship 1 with T = 0.1. Cost: five matrix products of (B H W)^2 C, of whose
    results one block exists at a time.

    Args:
        temperature: T > 0.

    Shape:
        student ``[B, C, H, W]``, teacher ``[B, C', H, W]``, any range; target: ignored. Returns a scalar >= 0.

    Raises:
        ValueError: a temperature that is not positive, or batches or sizes that differ.
    """

    def __init__(self, temperature: float = 0.1) -> None:
        super().__init__()
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, got {temperature}")
        self.temperature = temperature

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32."""
        require_one_map(student, teacher)
        s, t = (_pixels(widen(x)) for x in (student, teacher.detach()))
        B, P, _ = s.shape
        return similarity_kl((s, s), (t, t), s.new_full((B, P), 1 / (B * B * P)), self.temperature)


def _pixels(x: Tensor) -> Tensor:
    """Return unit vectors ``[B, P, C]``, in the memory layout of ``x``."""
    if min(x.shape[2:]) >= 256:
        x = average_4x4(x)
    return unit(x.flatten(2).mT, 2)


def average_4x4(x: Tensor) -> Tensor:
    """Average over windows of 4x4; those at the border may be partial.

    The same as ``F.avg_pool2d`` with ``ceil_mode``, whose gradient at partial windows torch.compile gets wrong.
    """
    H, W = x.shape[2:]
    border = (0, -W % 4, 0, -H % 4)
    if not any(border):
        return F.avg_pool2d(x, 4)
    share = F.avg_pool2d(F.pad(x.new_ones(1, 1, H, W), border), 4)
    return F.avg_pool2d(F.pad(x, border), 4) / share
