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

from densekd.kernels.triton.softmax import softmax_kl
from densekd.kernels.triton.upsampled import (
    accumulate,
    add_to_corners,
    axes,
    interpolate,
    label_pixels,
    load_corners,
    load_upsampled,
)
from densekd.ops.interpolation import Upsample
from densekd.ops.precision import grad_like

MAX_CHANNELS = 1024  # that fit the registers of one program
_TILE = 1024  # numbers of a tile


def resized_pixel_kl(
    student: Tensor, teacher: Tensor, upsample: Upsample, temperature: float, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the value and ``q - p``, weighted and brought back to the student's size."""
    B, C, h, w = student.shape
    rows, columns = axes(student, upsample)
    t_rows, t_columns = axes(teacher, upsample)
    grad = torch.zeros(B, C, h, w, device=student.device)
    # A program owns a block of cells of one row, with all channels; it writes one partial sum of
    # the value.
    channels = triton.next_power_of_2(C)
    block = max(1, min(_TILE // channels, triton.next_power_of_2(w)))
    values = grad.new_empty(B, h, triton.cdiv(w, block))
    weight = grad.new_ones(1).expand(B, *upsample.size) if weight is None else weight.float()
    grid = (values.shape[2], h, B)
    _cells[grid](
        student, teacher, weight, grad, values,
        rows.weight, rows.begin, columns.weight, columns.begin,
        t_rows.cell, t_rows.weight, t_columns.cell, t_columns.weight,
        *student.stride(), *teacher.stride(), *weight.stride(),
        C, h, w, *teacher.shape[2:], 1 / temperature, rows.most, columns.most, channels, block,
    )  # fmt: skip
    return values.sum(), torch.empty_like(grad_like(student)).copy_(grad)


@triton.jit
def _cells(  # type: ignore
    s_ptr, t_ptr, weight, d_ptr, values, row_weight, row_begin, column_weight, column_begin,
    t_row_cell, t_row_weight, t_column_cell, t_column_weight,
    sb, sc, sh, sw, tb, tc, th, tw, wb, wh, ww, C, h, w, t_h, t_w, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute value and gradient of the label pixels in some cells of row i.

    A cell has ROWS x COLUMNS pixels at most.
    """
    b, i = tl.program_id(2).to(tl.int64), tl.program_id(1)
    j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = tl.arange(0, CHANNELS)
    cell, channel = j < w, (c < C)[:, None]
    # Corners of the student's cells, read once, and zeros for their gradients.
    v00, v01, v10, v11 = load_corners(s_ptr, b, c, C, i, j, h, w, sb, sc, sh, sw, cell)
    g00 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g01 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g10 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g11 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    # Pixel k of all cells at a time.
    y_begin, y_end, x_begin, x_end = label_pixels(row_begin, column_begin, i, j, cell)
    for k in range(ROWS * COLUMNS):
        y, x = y_begin + k // COLUMNS, x_begin + k % COLUMNS
        valid = (x < x_end) & (y < y_end)
        # Interpolated logits: the student's from its corners, the teacher's from its own map.
        dy = tl.load(row_weight + y, mask=y < y_end, other=0.0)
        dx = tl.load(column_weight + x, mask=valid, other=0.0)[None, :]
        s = tl.where(channel, interpolate(v00, v01, v10, v11, dy, dx) * scale, -1e30)
        t = load_upsampled(
            t_ptr, b, c, C, y, x, t_row_cell, t_row_weight, t_column_cell, t_column_weight,
            t_h, t_w, tb, tc, th, tw, y < y_end, valid,
        )  # fmt: skip
        t = tl.where(channel, t * scale, -1e30)
        # Softmax of both over the channels, divergence and its gradient q - p, times the weight.
        q, p, kl = softmax_kl(s, t)
        factor = tl.load(weight + b * wb + y * wh + x * ww, mask=valid, other=0.0)
        total += kl * factor
        d = (q - p) * factor[None, :]
        g00, g01, g10, g11 = accumulate(d, dy, dx, g00, g01, g10, g11)
    add_to_corners(d_ptr, g00, g01, g10, g11, b, c, C, i, j, h, w, cell)
    tl.store(values + (b * h + i) * tl.num_programs(0) + tl.program_id(0), tl.sum(total, 0))
