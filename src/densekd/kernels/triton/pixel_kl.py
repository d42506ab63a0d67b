"""Pixel-wise divergence on the chip: all channels of some positions at a time."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.kernels.divergence import slope_like

MOST = 4096  # channels that fit the registers of one program
_TILE = 8192


def pixel_kl(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the divergence at each position, and ``q - p``."""
    slope = slope_like(student)
    maps = [x.flatten(2) for x in (student, teacher, slope)]
    B, C, N = maps[0].shape
    value = student.new_empty(B, *student.shape[2:], dtype=torch.float32)
    channels = triton.next_power_of_2(C)
    block = max(1, min(_TILE // channels, 128))
    strides = [stride for x in maps for stride in x.stride()]
    _pixels[(triton.cdiv(N, block), B)](*maps, value, *strides, C, N, 1 / temperature, channels, block)
    return value, slope


@triton.jit
def _pixels(  # type: ignore
    s, t, d, value, sb, sc, sn, tb, tc, tn, db, dc, dn, C, N, scale, CHANNELS: tl.constexpr, BLOCK: tl.constexpr
):
    b = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = tl.arange(0, CHANNELS)
    inside = (c < C)[:, None] & (n < N)[None, :]
    rows, columns = c[:, None].to(tl.int64), n[None, :].to(tl.int64)
    x = tl.load(s + b * sb + rows * sc + columns * sn, mask=inside, other=0.0).to(tl.float32) * scale
    y = tl.load(t + b * tb + rows * tc + columns * tn, mask=inside, other=0.0).to(tl.float32) * scale
    x = tl.where((c < C)[:, None], x, -1e30)
    y = tl.where((c < C)[:, None], y, -1e30)
    x -= tl.max(x, 0)[None, :]
    y -= tl.max(y, 0)[None, :]
    q, p = tl.exp(x), tl.exp(y)
    q_sum, p_sum = tl.sum(q, 0), tl.sum(p, 0)
    p /= p_sum[None, :]
    kl = tl.sum(p * (y - x), 0) + tl.log(q_sum) - tl.log(p_sum)
    tl.store(value + b * N + n, tl.maximum(kl, 0.0), mask=n < N)
    pull = (q / q_sum[None, :] - p).to(d.dtype.element_ty)
    tl.store(d + b * db + rows * dc + columns * dn, pull, mask=inside)
