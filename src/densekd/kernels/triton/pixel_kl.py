"""Triton kernel of the pixel-wise KL: a program holds all channels of some positions."""

# b image, c channel, n position of maps [B, C, N] with any strides
# sb, sc, sn strides of the student; tb, tc, tn of the teacher; db, dc, dn of the gradient
# s, t logits over the temperature; q, p their softmax; d = q - p
# a tile has CHANNELS (all) x BLOCK positions

from collections.abc import Sequence
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.kernels.triton.launch import launch
from densekd.kernels.triton.offsets import offsets, spans_int64
from densekd.kernels.triton.softmax import softmax_kl
from densekd.ops.precision import grad_like

MAX_CHANNELS = 4096  # that fit the registers of one program
_TILE = 4096  # numbers of a tile
_SECTOR = 32  # bytes that memory moves at once
_EACH = 8  # numbers of a thread


class Configuration(NamedTuple):
    """What a launch is compiled for.

    Args:
        channels: of a tile, all of them padded to a power of two.
        block: positions of a tile.
        warps: of a program.
        wide: an image has more elements than 32 bits can count.
    """

    channels: int
    block: int
    warps: int
    wide: bool


def configuration(shape: tuple[int, int, int], strides: Sequence[int], dtype: torch.dtype) -> Configuration:
    """Choose how many positions of maps ``[B, C, N]`` a program holds.

    Args:
        shape: B, C, N.
        strides: of student, teacher and gradient, three each.
        dtype: of the student.
    """
    _, C, N = shape
    channels = triton.next_power_of_2(C)
    block = max(1, min(_TILE // channels, 128))
    if strides[2] == 1:
        # Positions are contiguous: at least as many as memory moves at once.
        block = max(block, min(_SECTOR // dtype.itemsize, 4 * _TILE // channels))
    block = min(block, triton.next_power_of_2(N))
    warps = min(16, max(1, channels * block // (32 * _EACH)))
    return Configuration(channels, block, warps, spans_int64(shape, strides))


def pixel_kl(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the divergence at each position, and ``q - p``."""
    grad = grad_like(student)
    maps = [x.flatten(2) for x in (student, teacher, grad)]
    B, C, N = maps[0].shape
    value = student.new_empty(B, *student.shape[2:], dtype=torch.float32)
    strides = [*maps[0].stride(), *maps[1].stride(), *maps[2].stride()]
    # All channels of as many positions as fit a tile.
    chosen = configuration((B, C, N), strides, student.dtype)
    grid = (triton.cdiv(N, chosen.block), B)
    constants = {"CHANNELS": chosen.channels, "BLOCK": chosen.block, "WIDE": chosen.wide}
    arguments = (*maps, value, *strides, C, N, 1 / temperature)
    launch(_positions, grid, *arguments, warps=chosen.warps, **constants)
    return value, grad


@triton.jit
def _positions(  # type: ignore
    s_ptr, t_ptr, d_ptr, value_ptr, sb, sc, sn, tb, tc, tn, db, dc, dn, C, N, scale,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr,
):  # fmt: skip
    """Compute divergence and gradient at some positions."""
    b = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = tl.arange(0, CHANNELS)
    # All channels of the positions, [CHANNELS, BLOCK]
    channel = (c < C)[:, None]
    valid = channel & (n < N)[None, :]
    rows, columns = offsets(c[:, None], WIDE), offsets(n[None, :], WIDE)
    s_at = s_ptr + b * sb + rows * sc + columns * sn
    t_at = t_ptr + b * tb + rows * tc + columns * tn
    s = tl.load(s_at, mask=valid, other=0.0).to(tl.float32) * scale
    t = tl.load(t_at, mask=valid, other=0.0).to(tl.float32) * scale
    s = tl.where(channel, s, -1e30)
    t = tl.where(channel, t, -1e30)
    # Softmax of both and their divergence; the gradient is q - p.
    q, p, kl = softmax_kl(s, t)
    tl.store(value_ptr + b * N + n, kl, mask=n < N)
    d_at = d_ptr + b * db + rows * dc + columns * dn
    tl.store(d_at, (q - p).to(d_ptr.dtype.element_ty), mask=valid)
