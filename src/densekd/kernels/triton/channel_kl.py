"""Triton kernel of the channel-wise KL: one pass over small channels, else online softmax."""

# b image, c channel, n position of maps [B, C, N] with any strides
# sb, sc, sn strides of the student; tb, tc, tn of the teacher; db, dc, dn of the gradient
# s, t logits over the temperature; q, p their softmax; d = q - p
# K parts of a channel, PART positions of a part; a tile has CHANNELS x TILE numbers

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.kernels.triton.online_softmax import store_statistics, update_statistics
from densekd.ops.divergence import Divergence
from densekd.ops.groups import Groups
from densekd.ops.precision import grad_like

_WHOLE = 16384  # positions of a channel that fit the registers of one program, of both models
_PART = 16384  # positions that one program reads where a channel is split into parts
_TILE = 4096  # numbers of a tile


def channel_kl(student: Tensor, teacher: Tensor, temperature: float, groups: Groups) -> tuple[Tensor, Tensor]:
    """Return each channel's summand of the divergence ``[B, C]``, and ``q - p``."""
    grad = grad_like(student)
    maps = [x.flatten(2) for x in (student, teacher, grad)]
    B, C, N = maps[0].shape
    strides = [*maps[0].stride(), *maps[1].stride(), *maps[2].stride()]
    contiguous = maps[0].stride(2) == 1
    # One pass: a program holds a whole channel of both models.
    if groups.size == 1 and N <= _WHOLE and contiguous:
        value = student.new_empty(B, C, dtype=torch.float32)
        block = triton.next_power_of_2(N)
        warps = min(16, max(1, block // 512))
        size = (C, N, 1 / temperature, block)
        _whole_channels[(B * C,)](*maps, value, *strides, *size, num_warps=warps)
        return value, grad
    # A tile has one channel where positions are contiguous, several where channels are
    # (channels-last).
    channels = 1 if contiguous else min(32, triton.next_power_of_2(C))
    tile = min(_TILE // channels, _PART, triton.next_power_of_2(N))
    grid = (triton.cdiv(C, channels), triton.cdiv(N, _PART), B)
    sizes = (C, N, 1 / temperature, _PART, channels, tile)
    # First pass: statistics of every part of every channel, [3, B, K, C].
    statistics = student.new_empty(3, B, grid[1], C, dtype=torch.float32)
    _statistics_of_parts[grid](*maps[:2], statistics, *strides[:6], *sizes)
    # Join the parts of each channel, then the channels of each group.
    value, group = groups.summands(Divergence(*statistics).joined(1))
    # Second pass: the gradient, from the log-sum-exps of the groups [2, B, C].
    log_sum_exps = torch.stack([group.student, group.teacher])
    _grad[grid](*maps, log_sum_exps, *strides, *sizes)
    return value, grad


@triton.jit
def _whole_channels(  # type: ignore
    s_ptr, t_ptr, d_ptr, value_ptr, sb, sc, sn, tb, tc, tn, db, dc, dn, C, N, scale, BLOCK: tl.constexpr
):
    """Compute divergence and gradient of one channel, held whole."""
    row = tl.program_id(0)
    b = (row // C).to(tl.int64)
    c = (row % C).to(tl.int64)
    # All positions of the channel, [BLOCK]
    n = tl.arange(0, BLOCK)
    valid = n < N
    s = tl.load(s_ptr + b * sb + c * sc + n * sn, mask=valid, other=0.0).to(tl.float32) * scale
    t = tl.load(t_ptr + b * tb + c * tc + n * tn, mask=valid, other=0.0).to(tl.float32) * scale
    s = tl.where(valid, s, -1e30)
    t = tl.where(valid, t, -1e30)
    # Softmax of both, without overflow.
    s -= tl.max(s, 0)
    t -= tl.max(t, 0)
    q = tl.exp(s)
    p = tl.exp(t)
    q_sum = tl.sum(q, 0)
    p_sum = tl.sum(p, 0)
    p /= p_sum
    # KL = sum p (t - s) + lse(s) - lse(t), and the gradient q - p
    kl = tl.sum(p * (t - s), 0) + tl.log(q_sum) - tl.log(p_sum)
    tl.store(value_ptr + row, tl.maximum(kl, 0.0))
    d = (q / q_sum - p).to(d_ptr.dtype.element_ty)
    tl.store(d_ptr + b * db + c * dc + n * dn, d, mask=valid)


@triton.jit
def _statistics_of_parts(  # type: ignore
    s_ptr, t_ptr, out_ptr, sb, sc, sn, tb, tc, tn, C, N, scale,
    PART: tl.constexpr, CHANNELS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Accumulate the statistics of part k of some channels, tile by tile."""
    b = tl.program_id(2).to(tl.int64)
    k = tl.program_id(1)
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    s_max = tl.full((CHANNELS,), -1e30, tl.float32)
    t_max = tl.full((CHANNELS,), -1e30, tl.float32)
    s_sum = tl.zeros((CHANNELS,), tl.float32)
    t_sum = tl.zeros((CHANNELS,), tl.float32)
    cross = tl.zeros((CHANNELS,), tl.float32)
    for first in range(0, PART, TILE):
        # A tile of both maps, [CHANNELS, TILE]
        n = k * PART + first + tl.arange(0, TILE)
        valid = (c < C)[:, None] & (n < N)[None, :]
        rows, columns = c[:, None].to(tl.int64), n[None, :].to(tl.int64)
        s_at = s_ptr + b * sb + rows * sc + columns * sn
        t_at = t_ptr + b * tb + rows * tc + columns * tn
        s = tl.load(s_at, mask=valid, other=0.0).to(tl.float32) * scale
        t = tl.load(t_at, mask=valid, other=0.0).to(tl.float32) * scale
        s_max, t_max, s_sum, t_sum, cross = update_statistics(
            s, t, valid, s_max, t_max, s_sum, t_sum, cross
        )  # fmt: skip
    B, K = tl.num_programs(2), tl.num_programs(1)
    at = (b * K + k) * C + c
    store_statistics(out_ptr, at, B * K * C, c < C, s_max, t_max, s_sum, t_sum, cross)


@triton.jit
def _grad(  # type: ignore
    s_ptr, t_ptr, d_ptr, lse_ptr, sb, sc, sn, tb, tc, tn, db, dc, dn, C, N, scale,
    PART: tl.constexpr, CHANNELS: tl.constexpr, TILE: tl.constexpr,
):  # fmt: skip
    """Write the gradient of part k of some channels, tile by tile."""
    b = tl.program_id(2).to(tl.int64)
    k = tl.program_id(1)
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    # Log-sum-exps of the whole distributions, [CHANNELS]
    s_lse = tl.load(lse_ptr + b * C + c, mask=c < C, other=0.0)
    t_lse = tl.load(lse_ptr + (tl.num_programs(2) + b) * C + c, mask=c < C, other=0.0)
    for first in range(0, PART, TILE):
        # A tile of both maps, [CHANNELS, TILE]
        n = k * PART + first + tl.arange(0, TILE)
        valid = (c < C)[:, None] & (n < N)[None, :]
        rows, columns = c[:, None].to(tl.int64), n[None, :].to(tl.int64)
        s_at = s_ptr + b * sb + rows * sc + columns * sn
        t_at = t_ptr + b * tb + rows * tc + columns * tn
        s = tl.load(s_at, mask=valid, other=0.0).to(tl.float32) * scale
        t = tl.load(t_at, mask=valid, other=0.0).to(tl.float32) * scale
        # q - p, with the softmax exp(x - lse(x))
        d = tl.exp(s - s_lse[:, None]) - tl.exp(t - t_lse[:, None])
        d_at = d_ptr + b * db + rows * dc + columns * dn
        tl.store(d_at, d.to(d_ptr.dtype.element_ty), mask=valid)
