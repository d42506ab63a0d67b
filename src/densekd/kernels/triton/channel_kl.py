"""Triton kernel of the channel-wise KL: one pass over small channels, else online softmax."""

# b image, c channel, n position of maps [B, C, N] with any strides
# sb, sc, sn strides of the student; tb, tc, tn of the teacher; db, dc, dn of the gradient
# s, t logits over the temperature; q, p their softmax; d = q - p
# K parts of a channel, PART positions of a part; a tile has CHANNELS x TILE numbers

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.kernels.triton.launch import launch
from densekd.kernels.triton.offsets import offsets, spans_int64
from densekd.kernels.triton.online_softmax import store_statistics, update_statistics
from densekd.kernels.triton.softmax import not_negative
from densekd.ops.divergence import Divergence
from densekd.ops.groups import Groups
from densekd.ops.precision import grad_like

_WHOLE = 16384  # positions of a channel that fit the registers of one program, of both models
_TILE = 2048  # numbers of a tile
_PARTS = 1024  # programs that fill any GPU several times over
_LONGEST = 16384  # positions of a part at most


class Configuration(NamedTuple):
    """What a launch is compiled for.

    Args:
        whole: one program holds a whole channel of both models.
        channels: of a tile.
        tile: positions of a tile.
        part: positions that one program reads.
        warps: of a program.
        wide: an image has more elements than 32 bits can count.
    """

    whole: bool
    channels: int
    tile: int
    part: int
    warps: int
    wide: bool


def configuration(
    shape: tuple[int, int, int], strides: Sequence[int], dtype: torch.dtype, single: bool
) -> Configuration:
    """Choose how maps ``[B, C, N]`` are cut into programs.

    Args:
        shape: B, C, N.
        strides: of student, teacher and gradient, three each.
        dtype: of the student.
        single: each channel is a group of its own.
    """
    B, C, N = shape
    contiguous = strides[2] == 1
    wide = spans_int64(shape, strides)
    length = triton.next_power_of_2(N)
    # One pass: a program holds a whole channel of both models.
    if single and N <= _WHOLE and contiguous:
        return Configuration(True, 1, length, length, min(16, max(1, length // 512)), wide)
    # A tile has one channel where positions are contiguous, several where channels are
    # (channels-last), as many as fill a line of memory.
    channels = 1
    if not contiguous:
        channels = min(128 // dtype.itemsize, triton.next_power_of_2(C))
    tile = min(_TILE // channels, length)
    # Parts as long as leaves enough programs for every multiprocessor.
    part = tile
    while part < _LONGEST and B * triton.cdiv(C, channels) * triton.cdiv(N, 2 * part) >= _PARTS:
        part *= 2
    return Configuration(False, channels, tile, part, 4, wide)


def channel_kl(student: Tensor, teacher: Tensor, temperature: float, groups: Groups) -> tuple[Tensor, Tensor]:
    """Return each channel's summand of the divergence ``[B, C]``, and ``q - p``."""
    grad = grad_like(student)
    maps = [x.flatten(2) for x in (student, teacher, grad)]
    B, C, N = maps[0].shape
    strides = [*maps[0].stride(), *maps[1].stride(), *maps[2].stride()]
    chosen = configuration((B, C, N), strides, student.dtype, groups.size == 1)
    if chosen.whole:
        value = student.new_empty(B, C, dtype=torch.float32)
        constants = {"BLOCK": chosen.tile, "WIDE": chosen.wide}
        arguments = (*maps, value, *strides, C, N, 1 / temperature)
        launch(_whole_channels, (B * C,), *arguments, warps=chosen.warps, **constants)
        return value, grad
    grid = (triton.cdiv(C, chosen.channels), triton.cdiv(N, chosen.part), B)
    sizes = (C, N, 1 / temperature)
    constants = {"PART": chosen.part, "CHANNELS": chosen.channels, "TILE": chosen.tile, "WIDE": chosen.wide}
    # First pass: statistics of every part of every channel, [3, B, K, C].
    statistics = student.new_empty(3, B, grid[1], C, dtype=torch.float32)
    read = (*maps[:2], statistics, *strides[:6], *sizes)
    launch(_statistics_of_parts, grid, *read, warps=chosen.warps, **constants)
    # Join the parts of each channel, then the channels of each group.
    value, group = groups.summands(Divergence(*statistics).joined(1))
    # Second pass: the gradient, from the log-sum-exps of the groups [2, B, C].
    log_sum_exps = torch.stack([group.student, group.teacher])
    written = (*maps, log_sum_exps, *strides, *sizes)
    launch(_grad, grid, *written, warps=chosen.warps, **constants)
    return value, grad


@triton.jit
def _whole_channels(  # type: ignore
    s_ptr, t_ptr, d_ptr, value_ptr, sb, sc, sn, tb, tc, tn, db, dc, dn, C, N, scale,
    BLOCK: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Compute divergence and gradient of one channel, held whole."""
    row = tl.program_id(0)
    b = (row // C).to(tl.int64)
    c = (row % C).to(tl.int64)
    # All positions of the channel, [BLOCK]
    n = offsets(tl.arange(0, BLOCK), WIDE)
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
    tl.store(value_ptr + row, not_negative(kl))
    d = (q / q_sum - p).to(d_ptr.dtype.element_ty)
    tl.store(d_ptr + b * db + c * dc + n * dn, d, mask=valid)


@triton.jit
def _statistics_of_parts(  # type: ignore
    s_ptr, t_ptr, out_ptr, sb, sc, sn, tb, tc, tn, C, N, scale,
    PART: tl.constexpr, CHANNELS: tl.constexpr, TILE: tl.constexpr, WIDE: tl.constexpr,
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
    first = k * PART
    end = tl.minimum(first + PART, N)
    while first < end:
        # A tile of both maps, [CHANNELS, TILE]
        n = first + tl.arange(0, TILE)
        valid = (c < C)[:, None] & (n < N)[None, :]
        rows, columns = offsets(c[:, None], WIDE), offsets(n[None, :], WIDE)
        s_at = s_ptr + b * sb + rows * sc + columns * sn
        t_at = t_ptr + b * tb + rows * tc + columns * tn
        s = tl.load(s_at, mask=valid, other=0.0).to(tl.float32) * scale
        t = tl.load(t_at, mask=valid, other=0.0).to(tl.float32) * scale
        s_max, t_max, s_sum, t_sum, cross = update_statistics(
            s, t, valid, s_max, t_max, s_sum, t_sum, cross
        )  # fmt: skip
        first += TILE
    B, K = tl.num_programs(2), tl.num_programs(1)
    at = (b * K + k) * C + c
    store_statistics(out_ptr, at, B * K * C, c < C, s_max, t_max, s_sum, t_sum, cross)


@triton.jit
def _grad(  # type: ignore
    s_ptr, t_ptr, d_ptr, lse_ptr, sb, sc, sn, tb, tc, tn, db, dc, dn, C, N, scale,
    PART: tl.constexpr, CHANNELS: tl.constexpr, TILE: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Write the gradient of part k of some channels, tile by tile."""
    b = tl.program_id(2).to(tl.int64)
    k = tl.program_id(1)
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    # Log-sum-exps of the whole distributions, [CHANNELS]
    s_lse = tl.load(lse_ptr + b * C + c, mask=c < C, other=0.0)
    t_lse = tl.load(lse_ptr + (tl.num_programs(2) + b) * C + c, mask=c < C, other=0.0)
    first = k * PART
    end = tl.minimum(first + PART, N)
    while first < end:
        # A tile of both maps, [CHANNELS, TILE]
        n = first + tl.arange(0, TILE)
        valid = (c < C)[:, None] & (n < N)[None, :]
        rows, columns = offsets(c[:, None], WIDE), offsets(n[None, :], WIDE)
        s_at = s_ptr + b * sb + rows * sc + columns * sn
        t_at = t_ptr + b * tb + rows * tc + columns * tn
        s = tl.load(s_at, mask=valid, other=0.0).to(tl.float32) * scale
        t = tl.load(t_at, mask=valid, other=0.0).to(tl.float32) * scale
        # q - p, with the softmax exp(x - lse(x))
        d = tl.exp(s - s_lse[:, None]) - tl.exp(t - t_lse[:, None])
        d_at = d_ptr + b * db + rows * dc + columns * dn
        tl.store(d_at, d.to(d_ptr.dtype.element_ty), mask=valid)
        first += TILE
