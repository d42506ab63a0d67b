"""Triton kernel of the pixel-wise KL of upsampled logits: the gradient accumulated at the student's own size."""

# b image, c channel, i, j cell of the student's map [B, C, h, w]; y, x label pixel of [B, H, W]
# sb, sc, sh, sw strides of the student (tb.. teacher [B, C, t_h, t_w], wb.. weight [B, H, W])
# s, t logits of label pixels over the temperature; q, p their softmax; d = q - p
# CHANNELS all channels, BLOCK cells of a tile; v.. values and g.. gradients of the cells' corners, [CHANNELS, BLOCK]

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.kernels.triton.upsampled import accumulate, add_to_corners, axes, interpolate, load_corners, load_upsampled
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
    # A program owns a block of cells of one row, with all channels; it writes one partial sum of the value.
    channels = triton.next_power_of_2(C)
    block = max(1, min(_TILE // channels, triton.next_power_of_2(w)))
    values = grad.new_empty(B, h, triton.cdiv(w, block))
    weight = grad.new_ones(1).expand(B, *upsample.size) if weight is None else weight.float()
    grid = (values.shape[2], h, B)
    _cells[grid](
        student, teacher, weight, grad, values,
        rows.weight, rows.begin, columns.weight, columns.begin,
        t_rows.cell, t_rows.weight, t_columns.cell, t_columns.weight,
        *student.stride(), *teacher.stride(), *weight.stride(), C, h, w, *teacher.shape[2:], 1 / temperature,
        rows.most, columns.most, channels, block,
    )  # fmt: skip
    return values.sum(), torch.empty_like(grad_like(student)).copy_(grad)


@triton.jit
def _cells(  # type: ignore
    s_ptr, t_ptr, weight, d_ptr, values, row_weight, row_begin, column_weight, column_begin,
    t_row_cell, t_row_weight, t_column_cell, t_column_weight,
    sb, sc, sh, sw, tb, tc, th, tw, wb, wh, ww, C, h, w, t_h, t_w, scale,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute value and gradient of all label pixels in some cells of row i; ROWS x COLUMNS pixels a cell at most."""
    b = tl.program_id(2).to(tl.int64)
    i = tl.program_id(1)
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
    # The label pixels of each cell: a rectangle.
    y_begin, y_end = tl.load(row_begin + i), tl.load(row_begin + i + 1)
    x_begin = tl.load(column_begin + j, mask=cell, other=0)
    x_end = tl.load(column_begin + j + 1, mask=cell, other=0)
    # Pixel k of all cells at a time.
    for k in range(ROWS * COLUMNS):
        y, x = y_begin + k // COLUMNS, x_begin + k % COLUMNS
        valid = (x < x_end) & (y < y_end)
        # Interpolated logits of the pixels: the student's from its corners, the teacher's from its own map.
        dy = tl.load(row_weight + y, mask=y < y_end, other=0.0)
        dx = tl.load(column_weight + x, mask=valid, other=0.0)[None, :]
        s = tl.where(channel, interpolate(v00, v01, v10, v11, dy, dx) * scale, -1e30)
        t = load_upsampled(
            t_ptr, b, c, C, y, x, t_row_cell, t_row_weight, t_column_cell, t_column_weight,
            t_h, t_w, tb, tc, th, tw, y < y_end, valid,
        )  # fmt: skip
        t = tl.where(channel, t * scale, -1e30)
        # Softmax of both over the channels, without overflow.
        s -= tl.max(s, 0)[None, :]
        t -= tl.max(t, 0)[None, :]
        q = tl.exp(s)
        p = tl.exp(t)
        q_sum, p_sum = tl.sum(q, 0), tl.sum(p, 0)
        p /= p_sum[None, :]
        # KL = sum p (t - s) + lse(s) - lse(t) and its gradient q - p, both times the weight of the pixel.
        factor = tl.load(weight + b * wb + y * wh + x * ww, mask=valid, other=0.0)
        kl = tl.sum(p * (t - s), 0) + tl.log(q_sum) - tl.log(p_sum)
        total += tl.maximum(kl, 0.0) * factor
        d = (q / q_sum[None, :] - p) * factor[None, :]
        g00, g01, g10, g11 = accumulate(d, dy, dx, g00, g01, g10, g11)
    add_to_corners(d_ptr, g00, g01, g10, g11, b, c, C, i, j, h, w, cell)
    tl.store(values + (b * h + i) * tl.num_programs(0) + tl.program_id(0), tl.sum(total, 0))
