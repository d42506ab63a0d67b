"""Attention transfer (Zagoruyko and Komodakis, ICLR 2017, arXiv 1612.03928, section 3.1, eq. 2 with p = 2)."""

from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.losses.inputs import require_one_map, to_float32
from densekd.ops.attach_grad import attach_own_grad

Attention = Literal["energy", "mean"]


class AT(nn.Module):
    """Match where the network looks: squared error between maps that tell how active each position is.

    ``1 / (B H W) * sum_{b,i} (a_i(student) - a_i(teacher))^2`` with ``a(x) = e / |e|_2`` over the positions of an image
    and ``e = mean_C x^2``.

    Tap: ``pre_logits``, without adapter. Weight: CIRKD ships 10000. Cost: one pass over both maps.

    Args:
        attention: ``energy`` is the formula above (CIRKD, MMRazor). ``mean`` takes ``a(x) = mean_C x`` as it is,
            neither squared nor normalized: SegDistill, weight 1 on ``logits``, beside a term ``pixel`` of weight 1.

    Shape:
        student ``[B, C_s, H, W]``, teacher ``[B, C_t, H, W]``, any range; target: ignored. Returns a scalar >= 0.

    Raises:
        ValueError: an unknown choice.
    """

    def __init__(self, attention: Attention = "energy") -> None:
        super().__init__()
        if attention not in get_args(Attention):
            raise ValueError(f"'{attention}' is not one of {', '.join(get_args(Attention))}")
        self.attention = attention

    def forward(self, student: Tensor, teacher: Tensor, target: Tensor | None = None) -> Tensor:
        """Return the loss as a scalar in at least float32.

        Raises:
            ValueError: maps of different sizes.
        """
        require_one_map(student, teacher)
        if self.attention == "mean":
            return (to_float32(student).mean(1) - to_float32(teacher).mean(1)).square().mean()
        return (attention_map(student) - attention_map(teacher)).square().mean()


def attention_map(x: Tensor) -> Tensor:
    """Return the mean square over the channels of ``[B, C, H, W]`` as ``[B, H W]`` of length one per image."""
    x = to_float32(x)
    with torch.no_grad():
        half = x.square().sum(1, keepdim=True) / 2
    # Half a square has the value itself for a derivative: nothing is kept.
    return F.normalize(attach_own_grad(half, x).flatten(1) * (2 / x.shape[1]))
