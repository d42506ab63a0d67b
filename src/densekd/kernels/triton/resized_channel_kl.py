"""Triton kernel of the channel-wise KL of upsampled maps, gradient accumulated cell by cell."""

# b image, c channel, i, j cell of the student's map [B, C, h, w]; y, x label pixel of [B, H, W]
# sb, sc, sh, sw strides of the student; tb, tc, th, tw of the teacher [B, C, t_h, t_w]
# s, t logits of label pixels over the temperature; q, p their softmax; d = q - p
# K parts of a channel, ROWS upsampled rows each; a tile has CHANNELS x BLOCK pixels or cells
# v.. values and g.. gradients of the cells' corners, [CHANNELS, BLOCK]

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.kernels.triton.launch import launch
from densekd.kernels.triton.online_softmax import store_statistics, update_statistics
from densekd.kernels.triton.upsampled import (
    Cells,
    accumulate,
    axes,
    image_blocks,
    interpolate,
    joined_corners,
    label_pixels,
    load_corners,
    load_upsampled,
    store_corners,
)
from densekd.ops.divergence import Divergence
from densekd.ops.groups import Groups
from densekd.ops.interpolation import Upsample
from densekd.ops.precision import grad_like

_CHANNELS = 8  # of a tile
_BLOCK = 64  # pixels or cells of a tile
_ROWS = 16  # rows of the upsampled map that one program reads
_WARPS = 4


def configuration(shape: tuple[int, ...]) -> Cells:
    """Choose how many channels and cells of the student's map ``[B, C, h, w]`` a program owns."""
    return Cells(min(_CHANNELS, triton.next_power_of_2(shape[1])), _BLOCK, _WARPS)


def resized_channel_kl(
    student: Tensor, teacher: Tensor, upsample: Upsample, temperature: float, groups: Groups
) -> tuple[Tensor, Tensor]:
    """Return each channel's summand ``[B, C]``, and ``q - p`` at the student's size."""
    B, C, h, w = student.shape
    H, W = upsample.size
    rows, columns = axes(student, upsample)
    t_rows, t_columns = axes(teacher, upsample)
    t_tables = (t_rows.cell, t_rows.weight, t_columns.cell, t_columns.weight)
    chosen = configuration((B, C, h, w))
    constants = {"CHANNELS": chosen.channels, "BLOCK": chosen.block}
    tiles = triton.cdiv(C, chosen.channels)
    # First pass: statistics of every part of _ROWS rows of every channel, [3, B, K, C].
    statistics = student.new_empty(3, B, triton.cdiv(H, _ROWS), C, dtype=torch.float32)
    grid = (tiles, statistics.shape[2], B)
    read = (
        student, teacher, statistics,
        rows.cell, rows.weight, columns.cell, columns.weight, *t_tables,
        *student.stride(), *teacher.stride(), C, h, w, *teacher.shape[2:], H, 1 / temperature,
    )  # fmt: skip
    launch(_statistics_of_parts, grid, *read, warps=chosen.warps, W=W, ROWS=_ROWS, **constants)
    # Join the parts of each channel, then the channels of each group.
    value, group = groups.summands(Divergence(*statistics).joined(1))
    # Second pass: the gradient, from the log-sum-exps of the groups [2, B, C].
    log_sum_exps = torch.stack([group.student, group.teacher])
    grad = grad_like(student)
    same, blocks = student.shape == teacher.shape, triton.cdiv(w, chosen.block)
    for some in image_blocks(student):
        s, t = student[some], teacher[some]
        corners = statistics.new_empty(4, *s.shape)
        grid = (tiles * blocks, h, len(s))
        written = (
            s, t, log_sum_exps[:, some].contiguous(), corners,
            rows.weight, rows.begin, columns.weight, columns.begin, *t_tables,
            *s.stride(), *t.stride(), C, h, w, *t.shape[2:], corners[0].numel(), 1 / temperature, blocks,
        )  # fmt: skip
        launch(_grad_of_cells, grid, *written, warps=chosen.warps, SAME=same, **constants)
        grad[some] = joined_corners(corners)
    return value, grad


@triton.jit
def _statistics_of_parts(  # type: ignore
    s_ptr, t_ptr, out_ptr, s_row_cell, s_row_weight, s_column_cell, s_column_weight,
    t_row_cell, t_row_weight, t_column_cell, t_column_weight,
    sb, sc, sh, sw, tb, tc, th, tw, C, h, w, t_h, t_w, H, scale,
    W: tl.constexpr, ROWS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Accumulate the statistics of ROWS upsampled rows of some channels, tile by tile."""
    b = tl.program_id(2).to(tl.int64)
    k = tl.program_id(1)
    c = tl.program_id(0) * CHANNELS + tl.arange(0, CHANNELS)
    s_max = tl.full((CHANNELS,), -1e30, tl.float32)
    t_max = tl.full((CHANNELS,), -1e30, tl.float32)
    s_sum = tl.zeros((CHANNELS,), tl.float32)
    t_sum = tl.zeros((CHANNELS,), tl.float32)
    cross = tl.zeros((CHANNELS,), tl.float32)
    for r in range(ROWS):
        y = k * ROWS + r
        for first in range(0, W, BLOCK):
            # A tile of both upsampled maps, [CHANNELS, BLOCK]
            x = first + tl.arange(0, BLOCK)
            pixel = (x < W) & (y < H)
            s = load_upsampled(
                s_ptr, b, c, C, y, x, s_row_cell, s_row_weight, s_column_cell, s_column_weight,
                h, w, sb, sc, sh, sw, y < H, pixel,
            )  # fmt: skip
            t = load_upsampled(
                t_ptr, b, c, C, y, x, t_row_cell, t_row_weight, t_column_cell, t_column_weight,
                t_h, t_w, tb, tc, th, tw, y < H, pixel,
            )  # fmt: skip
            valid = pixel[None, :] & (c < C)[:, None]
            s_max, t_max, s_sum, t_sum, cross = update_statistics(
                s * scale, t * scale, valid, s_max, t_max, s_sum, t_sum, cross
            )
    B, K = tl.num_programs(2), tl.num_programs(1)
    at = (b * K + k) * C + c
    store_statistics(out_ptr, at, B * K * C, c < C, s_max, t_max, s_sum, t_sum, cross)


@triton.jit
def _grad_of_cells(  # type: ignore
    s_ptr, t_ptr, lse_ptr, d_ptr, row_weight, row_begin, column_weight, column_begin,
    t_row_cell, t_row_weight, t_column_cell, t_column_weight,
    sb, sc, sh, sw, tb, tc, th, tw, C, h, w, t_h, t_w, size, scale, blocks,
    SAME: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Add the gradient of the label pixels in some cells of row i."""
    b, i = tl.program_id(2).to(tl.int64), tl.program_id(1)
    j = tl.program_id(0) % blocks * BLOCK + tl.arange(0, BLOCK)
    c = tl.program_id(0) // blocks * CHANNELS + tl.arange(0, CHANNELS)
    # Log-sum-exps of the whole distributions, [CHANNELS, 1]
    s_lse = tl.load(lse_ptr + b * C + c, mask=c < C, other=0.0)[:, None]
    t_lse = tl.load(lse_ptr + (tl.num_programs(2) + b) * C + c, mask=c < C, other=0.0)[:, None]
    # Corners of the student's cells, read once, and zeros for their gradients.
    cell = j < w
    v00, v01, v10, v11 = load_corners(s_ptr, b, c, C, i, j, h, w, sb, sc, sh, sw, cell)
    # The teacher's, where its cells are the same.
    if SAME:
        t00, t01, t10, t11 = load_corners(t_ptr, b, c, C, i, j, h, w, tb, tc, th, tw, cell)
    g00 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g01 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g10 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g11 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    # One pixel of all cells at a time, as many as the largest of these cells has.
    y, y_end, x_begin, x_end = label_pixels(row_begin, column_begin, i, j, cell)
    while y < y_end:
        dy = tl.load(row_weight + y)
        x = x_begin
        left = tl.max(x_end - x_begin, 0)
        while left > 0:
            pixel = x < x_end
            # Interpolated logits: the student's from its corners, the teacher's from its own map.
            dx = tl.load(column_weight + x, mask=pixel, other=0.0)[None, :]
            s = interpolate(v00, v01, v10, v11, dy, dx) * scale
            if SAME:
                t = interpolate(t00, t01, t10, t11, dy, dx)
            else:
                t = load_upsampled(
                    t_ptr, b, c, C, y, x, t_row_cell, t_row_weight, t_column_cell, t_column_weight,
                    t_h, t_w, tb, tc, th, tw, True, pixel,
                )  # fmt: skip
            # q - p, with the softmax exp(x - lse(x)). Outside a cell the log-sum-exp is no bound, and the
            # exponentials might overflow.
            valid = pixel[None, :]
            s = tl.where(valid, s - s_lse, 0.0)
            t = tl.where(valid, t * scale - t_lse, 0.0)
            d = tl.where(valid, tl.exp(s) - tl.exp(t), 0.0)
            g00, g01, g10, g11 = accumulate(d, dy, dx, g00, g01, g10, g11)
            x += 1
            left -= 1
        y += 1
    store_corners(d_ptr, size, g00, g01, g10, g11, b, c, C, i, j, h, w, cell)
