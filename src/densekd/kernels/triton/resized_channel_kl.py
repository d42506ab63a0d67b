"""Channel-wise divergence of enlarged maps on the chip: online softmax, then the derivative cell by cell."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.kernels.divergence import Divergence, slope_like
from densekd.kernels.groups import Groups
from densekd.kernels.triton.online import store, visit
from densekd.kernels.triton.upsampled import axes, between, corners, scatter, spread, values_at
from densekd.ops.interpolation import Upsample

_CHANNELS = 8  # of a tile
_BLOCK = 64  # positions or cells of a tile
_ROWS = 16  # rows of the enlarged map that one program sums over


def resized_channel_kl(
    student: Tensor, teacher: Tensor, to: Upsample, temperature: float, groups: Groups
) -> tuple[Tensor, Tensor]:
    """Return each channel's summand of the divergence ``[B, C]``, and ``q - p`` brought back to the student's size."""
    B, C, h, w = student.shape
    H, W = to.size
    (rows, columns), (teacher_rows, teacher_columns) = axes(student, to), axes(teacher, to)
    tiles = triton.cdiv(C, _CHANNELS)
    known = student.new_empty(3, B, triton.cdiv(H, _ROWS), C, dtype=torch.float32)
    _parts[(tiles, known.shape[2], B)](
        student, teacher, known, *rows[:2], *columns[:2], *teacher_rows[:2], *teacher_columns[:2],
        *student.stride(), *teacher.stride(), C, h, w, *teacher.shape[2:], H, 1 / temperature,
        W, _ROWS, _CHANNELS, _BLOCK,
    )  # fmt: skip
    value, whole = groups.parts(Divergence(*known).joined(1))
    slope = torch.zeros(B, C, h, w, device=student.device)
    across = triton.cdiv(w, _BLOCK)
    _cells[(tiles * across, h, B)](
        student, teacher, torch.stack(whole[1:]), slope, *rows[1:3], *columns[1:3], *teacher_rows[:2],
        *teacher_columns[:2], *student.stride(), *teacher.stride(), C, h, w, *teacher.shape[2:], 1 / temperature,
        across, rows.most, columns.most, _CHANNELS, _BLOCK,
    )  # fmt: skip
    return value, torch.empty_like(slope_like(student)).copy_(slope)


@triton.jit
def _parts(  # type: ignore
    s, t, known, s_row, s_down, s_column, s_right, t_row, t_down, t_column, t_right,
    sb, sc, sh, sw, tb, tc, th, tw, C, h, w, t_h, t_w, H, scale,
    W: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    b, k = tl.program_id(2).to(tl.int64), tl.program_id(1)
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    x_peak = tl.full((CHANNELS,), -1e30, tl.float32)
    y_peak = tl.full((CHANNELS,), -1e30, tl.float32)
    x_sum = tl.zeros((CHANNELS,), tl.float32)
    y_sum = tl.zeros((CHANNELS,), tl.float32)
    across = tl.zeros((CHANNELS,), tl.float32)
    for r in range(ROWS):
        py = k * ROWS + r
        for first in range(0, W, BLOCK):
            px = first + tl.arange(0, BLOCK)
            inside = (px < W) & (py < H)
            x = values_at(s, b, c, C, py, px, s_row, s_down, s_column, s_right, h, w, sb, sc, sh, sw, py < H, inside)
            y = values_at(
                t, b, c, C, py, px, t_row, t_down, t_column, t_right, t_h, t_w, tb, tc, th, tw, py < H, inside
            )
            whole = inside[None, :] & (c < C)[:, None]
            x_peak, y_peak, x_sum, y_sum, across = visit(
                x * scale, y * scale, whole, x_peak, y_peak, x_sum, y_sum, across
            )
    B, K = tl.num_programs(2), tl.num_programs(1)
    store(known, (b * K + k) * C + c, B * K * C, c < C, x_peak, y_peak, x_sum, y_sum, across)


@triton.jit
def _cells(  # type: ignore
    x, t, whole, d, down, top, right, left, t_row, t_down, t_column, t_right,
    xb, xc, xh, xw, tb, tc, th, tw, C, h, w, t_h, t_w, scale, across,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    b, i = tl.program_id(2).to(tl.int64), tl.program_id(1)
    j = tl.program_id(0) % across * BLOCK + tl.arange(0, BLOCK)
    c = tl.program_id(0) // across * CHANNELS + tl.arange(0, CHANNELS)
    cell = j < w
    x_size = tl.load(whole + b * C + c, mask=c < C, other=0.0)[:, None]
    y_size = tl.load(whole + (tl.num_programs(2) + b) * C + c, mask=c < C, other=0.0)[:, None]
    v00, v01, v10, v11 = corners(x, b, c, C, i, j, h, w, xb, xc, xh, xw, cell)
    g00 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g01 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g10 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g11 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    y_begin, y_end = tl.load(top + i), tl.load(top + i + 1)
    x_begin, x_end = tl.load(left + j, mask=cell, other=0), tl.load(left + j + 1, mask=cell, other=0)
    for k in range(ROWS * COLUMNS):
        py, px = y_begin + k // COLUMNS, x_begin + k % COLUMNS
        inside = (px < x_end) & (py < y_end)
        dy = tl.load(down + py, mask=py < y_end, other=0.0)
        dx = tl.load(right + px, mask=inside, other=0.0)[None, :]
        s = between(v00, v01, v10, v11, dy, dx) * scale
        p = values_at(
            t, b, c, C, py, px, t_row, t_down, t_column, t_right, t_h, t_w, tb, tc, th, tw, py < y_end, inside
        )
        # Outside a cell the sizes are no bound, and the exponentials might overflow.
        q, p = tl.where(inside[None, :], s - x_size, 0.0), tl.where(inside[None, :], p * scale - y_size, 0.0)
        pull = tl.exp(q) - tl.exp(p)
        pull = tl.where(inside[None, :], pull, 0.0)
        g00, g01, g10, g11 = spread(pull, dy, dx, g00, g01, g10, g11)
    scatter(d, g00, g01, g10, g11, b, c, C, i, j, h, w, cell)
