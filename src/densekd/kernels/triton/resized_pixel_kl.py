"""Pixel-wise divergence of enlarged logits on the chip, the derivative added to the student's own size."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.kernels.divergence import slope_like
from densekd.kernels.triton.upsampled import axes, between, corners, scatter, spread, values_at
from densekd.ops.interpolation import Upsample

MOST = 1024  # channels that fit the registers of one program
_TILE = 1024


def resized_pixel_kl(
    student: Tensor, teacher: Tensor, to: Upsample, temperature: float, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the value and ``q - p``, weighed and brought back to the student's size."""
    B, C, h, w = student.shape
    rows, columns = axes(student, to)
    teacher_rows, teacher_columns = axes(teacher, to)
    slope = torch.zeros(B, C, h, w, device=student.device)
    channels = triton.next_power_of_2(C)
    block = max(1, min(_TILE // channels, triton.next_power_of_2(w)))
    values = slope.new_empty(B, h, triton.cdiv(w, block))
    weight = slope.new_ones(1).expand(B, *to.size) if weight is None else weight.float()
    _cells[(values.shape[2], h, B)](
        student, teacher, weight, slope, values, *rows[1:3], *columns[1:3], *teacher_rows[:2], *teacher_columns[:2],
        *student.stride(), *teacher.stride(), *weight.stride(), C, h, w, *teacher.shape[2:], 1 / temperature,
        rows.most, columns.most, channels, block,
    )  # fmt: skip
    return values.sum(), torch.empty_like(slope_like(student)).copy_(slope)


@triton.jit
def _cells(  # type: ignore
    x, t, weight, d, values, down, top, right, left, t_row, t_down, t_column, t_right,
    xb, xc, xh, xw, tb, tc, th, tw, wb, wh, ww, C, h, w, t_h, t_w, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    b, i = tl.program_id(2).to(tl.int64), tl.program_id(1)
    j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = tl.arange(0, CHANNELS)
    cell, known = j < w, (c < C)[:, None]
    v00, v01, v10, v11 = corners(x, b, c, C, i, j, h, w, xb, xc, xh, xw, cell)
    g00 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g01 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g10 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    g11 = tl.zeros((CHANNELS, BLOCK), tl.float32)
    total = tl.zeros((BLOCK,), tl.float32)
    y_begin, y_end = tl.load(top + i), tl.load(top + i + 1)
    x_begin, x_end = tl.load(left + j, mask=cell, other=0), tl.load(left + j + 1, mask=cell, other=0)
    for k in range(ROWS * COLUMNS):
        py, px = y_begin + k // COLUMNS, x_begin + k % COLUMNS
        inside = (px < x_end) & (py < y_end)
        dy = tl.load(down + py, mask=py < y_end, other=0.0)
        dx = tl.load(right + px, mask=inside, other=0.0)[None, :]
        s = tl.where(known, between(v00, v01, v10, v11, dy, dx) * scale, -1e30)
        p = values_at(
            t, b, c, C, py, px, t_row, t_down, t_column, t_right, t_h, t_w, tb, tc, th, tw, py < y_end, inside
        )
        p = tl.where(known, p * scale, -1e30)
        s -= tl.max(s, 0)[None, :]
        p -= tl.max(p, 0)[None, :]
        apart = p - s
        q, p = tl.exp(s), tl.exp(p)
        q_size, p_size = tl.sum(q, 0), tl.sum(p, 0)
        p /= p_size[None, :]
        factor = tl.load(weight + b * wb + py * wh + px * ww, mask=inside, other=0.0)
        total += tl.maximum(tl.sum(p * apart, 0) + tl.log(q_size) - tl.log(p_size), 0.0) * factor
        pull = (q / q_size[None, :] - p) * factor[None, :]
        g00, g01, g10, g11 = spread(pull, dy, dx, g00, g01, g10, g11)
    scatter(d, g00, g01, g10, g11, b, c, C, i, j, h, w, cell)
    tl.store(values + (b * h + i) * tl.num_programs(0) + tl.program_id(0), tl.sum(total, 0))
