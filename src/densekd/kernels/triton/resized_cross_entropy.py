"""Cross-entropy of enlarged logits on the chip: read once, the derivative added to the logits' own size."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.kernels.divergence import slope_like
from densekd.kernels.triton.upsampled import axes, between, corners, scatter, spread
from densekd.ops.interpolation import Upsample

MOST = 1024  # classes that fit the registers of one program
_TILE = 2048


def resized_cross_entropy(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool
) -> tuple[Tensor, Tensor]:
    """Return the value and its derivative by the logits."""
    B, C, h, w = logits.shape
    H, W = labels.shape[1:]
    rows, columns = axes(logits, Upsample((H, W), align_corners))
    slope = torch.zeros(B, C, h, w, device=logits.device)
    channels = triton.next_power_of_2(C)
    block = max(1, min(_TILE // channels, triton.next_power_of_2(w)))
    values = slope.new_empty(B, h, triton.cdiv(w, block))
    weight = slope.new_ones(C) if weight is None else weight.float()
    _cells[(values.shape[2], h, B)](
        logits, labels.contiguous(), weight, slope, values, *rows[1:3], *columns[1:3], *logits.stride(),
        C, h, w, H, W, ignore_index, rows.most, columns.most, channels, block,
    )  # fmt: skip
    return values.sum(), torch.empty_like(slope_like(logits)).copy_(slope)


@triton.jit
def _cells(  # type: ignore
    x, labels, weight, d, values, down, top, right, left, xb, xc, xh, xw,
    C, h, w, H, W, ignore, ROWS: tl.constexpr, COLUMNS: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
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
        label = tl.load(labels + (b * H + py) * W + px, mask=inside, other=ignore)
        inside = inside & (label != ignore)
        dy = tl.load(down + py, mask=py < y_end, other=0.0)
        dx = tl.load(right + px, mask=inside, other=0.0)[None, :]
        z = tl.where(known, between(v00, v01, v10, v11, dy, dx), -1e30)
        own = c[:, None] == label[None, :]
        z -= tl.max(z, 0)[None, :]
        q = tl.exp(z)
        size = tl.sum(q, 0)
        factor = tl.load(weight + label, mask=inside, other=0.0)
        total += (tl.log(size) - tl.sum(tl.where(own, z, 0.0), 0)) * factor
        pull = (q / size[None, :] - tl.where(own, 1.0, 0.0)) * factor[None, :]
        g00, g01, g10, g11 = spread(pull, dy, dx, g00, g01, g10, g11)
    scatter(d, g00, g01, g10, g11, b, c, C, i, j, h, w, cell)
    tl.store(values + (b * h + i) * tl.num_programs(0) + tl.program_id(0), tl.sum(total, 0))
