"""Channel-wise divergence on the chip: one visit where a channel fits, online softmax in parts where it does not.

A map is ``[B, C, N]`` with any strides: b image, c channel, n position; s student, t teacher, d derivative.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.kernels.divergence import Divergence, slope_like
from densekd.kernels.groups import Groups
from densekd.kernels.triton.online import store, visit

_WHOLE = 16384  # positions of a channel that fit the registers of one program, of student and teacher
_PART = 16384  # positions that a program visits where a channel is taken apart
_TILE = 4096


def channel_kl(student: Tensor, teacher: Tensor, temperature: float, groups: Groups) -> tuple[Tensor, Tensor]:
    """Return each channel's summand of the divergence ``[B, C]``, and ``q - p``."""
    slope = slope_like(student)
    maps = [x.flatten(2) for x in (student, teacher, slope)]
    B, C, N = maps[0].shape
    strides = [stride for x in maps for stride in x.stride()]
    if groups.size == 1 and N <= _WHOLE and maps[0].stride(2) == 1:
        value = student.new_empty(B, C, dtype=torch.float32)
        block = triton.next_power_of_2(N)
        _whole[(B * C,)](*maps, value, *strides, C, N, 1 / temperature, block, num_warps=min(16, max(1, block // 512)))
        return value, slope
    along = 1 if maps[0].stride(2) == 1 else min(32, triton.next_power_of_2(C))  # channels of a tile
    grid = (triton.cdiv(C, along), triton.cdiv(N, _PART), B)
    known = student.new_empty(3, B, grid[1], C, dtype=torch.float32)
    sizes = (C, N, 1 / temperature, _PART, along, min(_TILE // along, _PART, triton.next_power_of_2(N)))
    _parts[grid](*maps[:2], known, *strides[:6], *sizes)
    value, whole = groups.parts(Divergence(*known).joined(1))
    _slope[grid](*maps, torch.stack(whole[1:]), *strides, *sizes)
    return value, slope


@triton.jit
def _whole(s, t, d, value, sb, sc, sn, tb, tc, tn, db, dc, dn, C, N, scale, BLOCK: tl.constexpr):  # type: ignore
    row = tl.program_id(0)
    b, c = (row // C).to(tl.int64), (row % C).to(tl.int64)
    n = tl.arange(0, BLOCK)
    inside = n < N
    x = tl.load(s + b * sb + c * sc + n * sn, mask=inside, other=0.0).to(tl.float32) * scale
    y = tl.load(t + b * tb + c * tc + n * tn, mask=inside, other=0.0).to(tl.float32) * scale
    x, y = tl.where(inside, x, -1e30), tl.where(inside, y, -1e30)
    x -= tl.max(x, 0)
    y -= tl.max(y, 0)
    q, p = tl.exp(x), tl.exp(y)
    q_sum, p_sum = tl.sum(q, 0), tl.sum(p, 0)
    p /= p_sum
    kl = tl.sum(p * (y - x), 0) + tl.log(q_sum) - tl.log(p_sum)
    tl.store(value + row, tl.maximum(kl, 0.0))
    tl.store(d + b * db + c * dc + n * dn, (q / q_sum - p).to(d.dtype.element_ty), mask=inside)


@triton.jit
def _parts(  # type: ignore
    s, t, known, sb, sc, sn, tb, tc, tn, C, N, scale, PART: tl.constexpr, ALONG: tl.constexpr, BLOCK: tl.constexpr
):
    b, k = tl.program_id(2).to(tl.int64), tl.program_id(1)
    c = tl.program_id(0) * ALONG + tl.arange(0, ALONG)
    x_peak = tl.full((ALONG,), -1e30, tl.float32)
    y_peak = tl.full((ALONG,), -1e30, tl.float32)
    x_sum = tl.zeros((ALONG,), tl.float32)
    y_sum = tl.zeros((ALONG,), tl.float32)
    across = tl.zeros((ALONG,), tl.float32)
    for first in range(0, PART, BLOCK):
        n = k * PART + first + tl.arange(0, BLOCK)
        inside = (c < C)[:, None] & (n < N)[None, :]
        x = tl.load(s + b * sb + c[:, None].to(tl.int64) * sc + n[None, :].to(tl.int64) * sn, mask=inside, other=0.0)
        y = tl.load(t + b * tb + c[:, None].to(tl.int64) * tc + n[None, :].to(tl.int64) * tn, mask=inside, other=0.0)
        x, y = x.to(tl.float32) * scale, y.to(tl.float32) * scale
        x_peak, y_peak, x_sum, y_sum, across = visit(x, y, inside, x_peak, y_peak, x_sum, y_sum, across)
    B, K = tl.num_programs(2), tl.num_programs(1)
    store(known, (b * K + k) * C + c, B * K * C, c < C, x_peak, y_peak, x_sum, y_sum, across)


@triton.jit
def _slope(  # type: ignore
    s, t, d, whole, sb, sc, sn, tb, tc, tn, db, dc, dn, C, N, scale,
    PART: tl.constexpr, ALONG: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    b, k = tl.program_id(2).to(tl.int64), tl.program_id(1)
    c = tl.program_id(0) * ALONG + tl.arange(0, ALONG)
    x_size = tl.load(whole + b * C + c, mask=c < C, other=0.0)
    y_size = tl.load(whole + (tl.num_programs(2) + b) * C + c, mask=c < C, other=0.0)
    for first in range(0, PART, BLOCK):
        n = k * PART + first + tl.arange(0, BLOCK)
        inside = (c < C)[:, None] & (n < N)[None, :]
        rows, columns = c[:, None].to(tl.int64), n[None, :].to(tl.int64)
        x = tl.load(s + b * sb + rows * sc + columns * sn, mask=inside, other=0.0).to(tl.float32) * scale
        y = tl.load(t + b * tb + rows * tc + columns * tn, mask=inside, other=0.0).to(tl.float32) * scale
        pull = tl.exp(x - x_size[:, None]) - tl.exp(y - y_size[:, None])
        tl.store(d + b * db + rows * dc + columns * dn, pull.to(d.dtype.element_ty), mask=inside)
