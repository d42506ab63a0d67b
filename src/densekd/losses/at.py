"""AT: attention transfer (Zagoruyko and Komodakis, ICLR 2017, arXiv 1612.03928, section 3.1, eq. 2
with p = 2)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.losses.inputs import require_one_map
from densekd.ops.attach_grad import attach_own_grad
from densekd.ops.blocks import BLOCK_NUMEL
from densekd.ops.precision import to_float32

Attention = Literal["energy", "mean"]
# Contiguous images of more numbers are squared block by block of channels on the CPU: 512 x 64 x 128
# took 0.16 of the time of one map of squares, 150 x 128 x 128 0.8, 128 x 32 x 64 1.1.
_LARGE_NUMEL = 1 << 20


class AT(nn.Module):
    """Attention transfer: squared error between the spatial attention maps of both networks.

    ``1 / (B H W) * sum_{b,i} (a_i(student) - a_i(teacher))^2`` with ``a(x) = e / |e|_2`` over the
    positions of an image and ``e = mean_C x^2``.

    Tap: ``pre_logits``, without adapter. Weight: CIRKD ships 10000. Cost: one pass over both maps.

    Args:
        attention: ``energy`` is the formula above (CIRKD, MMRazor). ``mean`` takes
            ``a(x) = mean_C x`` as it is, neither squared nor normalized: SegDistill, weight 1 on
            ``logits``, beside a term ``pixel`` of weight 1.

    Shape:
        student ``[B, C_s, H, W]``, teacher ``[B, C_t, H, W]``, any range; target: ignored.
        Returns a scalar >= 0.
    """

    def __init__(self, attention: Attention = "energy") -> None:
        super().__init__()
        self.attention = attention

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32.

        Raises:
            ValueError: maps of different sizes.
        """
        require_one_map(student, teacher)
        if self.attention == "mean":
            difference = to_float32(student).mean(1) - to_float32(teacher).mean(1)
        else:
            difference = attention_map(student) - attention_map(teacher)
        return difference.square().mean()


def attention_map(x: Tensor) -> Tensor:
    """Return the spatial attention ``[B, H W]`` of ``[B, C, H, W]``, of length one per image."""
    x = to_float32(x)
    # The energy of a position.
    if not x.requires_grad:
        energy = _energy(x) / x.shape[1]
    elif x.numel() <= BLOCK_NUMEL // 4:
        # Small maps: a call costs more than a map.
        energy = x.square().mean(1)
    else:
        # Half a square has the value itself for a derivative, so that no map is kept for the
        # backward pass.
        with torch.no_grad():
            half = _energy(x) / 2
        energy = attach_own_grad(half, x) * (2 / x.shape[1])
    # eq. 2: each image's map over its length.
    return F.normalize(energy.flatten(1))


def _energy(x: Tensor) -> Tensor:
    """Return the sum of squares over the channels, ``[B, 1, H, W]``, without a graph."""
    plain = x.device.type != "cpu" or torch.compiler.is_compiling()
    if not plain and x.is_contiguous(memory_format=torch.channels_last):
        # Read once, where they lie side by side; no map of squares is written.
        length: Tensor = torch.linalg.vector_norm(x, dim=1, keepdim=True)
        return length.square_()
    if plain or x[:1].numel() <= _LARGE_NUMEL:
        return x.square().sum(1, keepdim=True)
    B, C, H, W = x.shape
    total = x.new_zeros(B, 1, H, W)
    channels = max(1, BLOCK_NUMEL // (H * W))
    for image, out in zip(x, total, strict=True):
        for first in range(0, C, channels):
            out += image[first : first + channels].square().sum(0)
    return total
