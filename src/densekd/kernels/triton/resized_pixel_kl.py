"""Triton kernel of the pixel-wise KL of upsampled logits, gradient accumulated cell by cell."""

# b image, c channel, i, j cell of the student's map [B, C, h, w]; y, x label pixel of [B, H, W]
# sb, sc, sh, sw strides of the student; tb, tc, th, tw of the teacher [B, C, t_h, t_w]
# wb, wh, ww strides of the weight [B, H, W]
# s, t logits of label pixels over the temperature; q, p their softmax; d = q - p
# a tile has CHANNELS (all) x BLOCK cells
# v.. values and g.. gradients of the cells' corners, [CHANNELS, BLOCK]

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.kernels.triton.launch import launch
from densekd.kernels.triton.softmax import softmax_kl
from densekd.kernels.triton.upsampled import (
    Cells,
    accumulate,
    axes,
    cells,
    image_blocks,
    interpolate,
    joined_corners,
    label_pixels,
    load_corners,
    load_upsampled,
    store_corners,
)
from densekd.ops.interpolation import Upsample
from densekd.ops.precision import grad_like

MAX_CHANNELS = 1024  # that fit the registers of one program
_TILE = 512  # numbers of a tile
_EACH = 2  # numbers of a thread


def configuration(shape: tuple[int, ...]) -> Cells:
    """Choose how many cells of the student's map ``[B, C, h, w]`` a program owns."""
    return cells(shape, _TILE, _EACH)


def resized_pixel_kl(
    student: Tensor, teacher: Tensor, upsample: Upsample, temperature: float, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the value and ``q - p``, weighted and brought back to the student's size."""
    B, C, h, w = student.shape
    rows, columns = axes(student, upsample)
    t_rows, t_columns = axes(teacher, upsample)
    grad = grad_like(student)
    # A program owns a block of cells of one row, with all channels; it writes one partial sum of
    # the value.
    chosen = configuration((B, C, h, w))
    same = student.shape == teacher.shape
    constants = {"SAME": same, "CHANNELS": chosen.channels, "BLOCK": chosen.block}
    values = student.new_empty(B, h, triton.cdiv(w, chosen.block), dtype=torch.float32)
    weight = values.new_ones(1).expand(B, *upsample.size) if weight is None else weight.float()
    for some in image_blocks(student):
        s, t, factors = student[some], teacher[some], weight[some]
        corners = values.new_empty(4, *s.shape)
        grid = (values.shape[2], h, len(s))
        arguments = (
            s, t, factors, corners, values[some],
            rows.weight, rows.begin, columns.weight, columns.begin,
            t_rows.cell, t_rows.weight, t_columns.cell, t_columns.weight,
            *s.stride(), *t.stride(), *factors.stride(),
            C, h, w, *t.shape[2:], corners[0].numel(), 1 / temperature,
        )  # fmt: skip
        launch(_cells, grid, *arguments, warps=chosen.warps, **constants)
        grad[some] = joined_corners(corners)
    return values.sum(), grad


@triton.jit
def _cells(  # type: ignore
    s_ptr, t_ptr, weight, d_ptr, values, row_weight, row_begin, column_weight, column_begin,
    t_row_cell, t_row_weight, t_column_cell, t_column_weight,
    sb, sc, sh, sw, tb, tc, th, tw, wb, wh, ww, C, h, w, t_h, t_w, size, scale,
    SAME: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute value and gradient of the label pixels in some cells of row i."""
    b, i = tl.program_id(2).to(tl.int64), tl.program_id(1)
    j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = tl.arange(0, CHANNELS)
    cell, channel = j < w, (c < C)[:, None]
    # Corners of the student's cells, read once, and zeros for their gradients.
    v00, v01, v10, v11 = load_corners(s_ptr, b, c, C, i, j, h, w, sb, sc, sh, sw, cell)
    # The teacher's, where its cells are the same.
    if SAME:
        t00, t01, t10, t11 = load_corners(t_ptr, b, c, C, i, j, h, w, tb, tc, th, tw, cell)
    g00 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g01 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g10 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g11 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    # One pixel of all cells at a time, as many as the largest of these cells has.
    y, y_end, x_begin, x_end = label_pixels(row_begin, column_begin, i, j, cell)
    while y < y_end:
        dy = tl.load(row_weight + y)
        x = x_begin
        left = tl.max(x_end - x_begin, 0)
        while left > 0:
            valid = x < x_end
            # Interpolated logits: the student's from its corners, the teacher's from its own map.
            dx = tl.load(column_weight + x, mask=valid, other=0.0)[None, :]
            s = tl.where(channel, interpolate(v00, v01, v10, v11, dy, dx) * scale, -1e30)
            if SAME:
                t = interpolate(t00, t01, t10, t11, dy, dx)
            else:
                t = load_upsampled(
                    t_ptr, b, c, C, y, x, t_row_cell, t_row_weight, t_column_cell, t_column_weight,
                    t_h, t_w, tb, tc, th, tw, True, valid,
                )  # fmt: skip
            t = tl.where(channel, t * scale, -1e30)
            # Softmax of both over the channels, divergence and its gradient q - p, times the weight.
            q, p, kl = softmax_kl(s, t)
            factor = tl.load(weight + b * wb + y * wh + x * ww, mask=valid, other=0.0)
            total += kl * factor
            d = (q - p) * factor[None, :]
            g00, g01, g10, g11 = accumulate(d, dy, dx, g00, g01, g10, g11)
            x += 1
            left -= 1
        y += 1
    store_corners(d_ptr, size, g00, g01, g10, g11, b, c, C, i, j, h, w, cell)
    tl.store(values + (b * h + i) * tl.num_programs(0) + tl.program_id(0), tl.sum(total, 0))
