"""Triton kernel of the cross-entropy of upsampled logits, gradient accumulated cell by cell."""

# b image, c class, i, j cell of the logits [B, C, h, w] with any strides xb, xc, xh, xw
# y, x label pixel of [B, H, W]
# a tile has CHANNELS (all classes) x BLOCK cells
# v.. values and g.. gradients of the cells' corners, [CHANNELS, BLOCK]

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.kernels.triton.launch import launch
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
    store_corners,
)
from densekd.ops.interpolation import Upsample
from densekd.ops.precision import grad_like

MAX_CHANNELS = 1024  # classes that fit the registers of one program
_TILE = 512  # numbers of a tile
_EACH = 2  # numbers of a thread
_MANY = 512  # classes from which a thread has more: with few the assembler spills to fit more warps
_EACH_OF_MANY = 8


def configuration(shape: tuple[int, ...]) -> Cells:
    """Choose how many cells of logits ``[B, C, h, w]`` a program owns."""
    return cells(shape, _TILE, _EACH_OF_MANY if shape[1] >= _MANY else _EACH)


def resized_cross_entropy(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool
) -> tuple[Tensor, Tensor]:
    """Return the value and its gradient by the logits; NaN where a label is no class."""
    B, C, h, w = logits.shape
    H, W = labels.shape[1:]
    rows, columns = axes(logits, Upsample((H, W), align_corners))
    grad, labels = grad_like(logits), labels.contiguous()
    # A program owns a block of cells of one row, with all classes; it writes one partial sum of the
    # value.
    chosen = configuration((B, C, h, w))
    constants = {"CHANNELS": chosen.channels, "BLOCK": chosen.block}
    values = logits.new_empty(B, h, triton.cdiv(w, chosen.block), dtype=torch.float32)
    weight = values.new_ones(C) if weight is None else weight.float()
    for some in image_blocks(logits):
        x = logits[some]
        corners = values.new_empty(4, *x.shape)
        grid = (values.shape[2], h, len(x))
        arguments = (
            x, labels[some], weight, corners, values[some],
            rows.weight, rows.begin, columns.weight, columns.begin, *x.stride(),
            C, h, w, H, W, corners[0].numel(), ignore_index,
        )  # fmt: skip
        launch(_cells, grid, *arguments, warps=chosen.warps, **constants)
        grad[some] = joined_corners(corners)
    return values.sum(), grad


@triton.jit
def _cells(  # type: ignore
    x_ptr, labels, weight, d_ptr, values, row_weight, row_begin, column_weight, column_begin,
    xb, xc, xh, xw, C, h, w, H, W, size, ignore,
    CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Compute value and gradient of the label pixels in some cells of row i."""
    b, i = tl.program_id(2).to(tl.int64), tl.program_id(1)
    j = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    c = tl.arange(0, CHANNELS)
    cell, channel = j < w, (c < C)[:, None]
    # Corners of the cells, read once, and zeros for their gradients.
    v00, v01, v10, v11 = load_corners(x_ptr, b, c, C, i, j, h, w, xb, xc, xh, xw, cell)
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
            label = tl.load(labels + (b * H + y) * W + x, mask=valid, other=ignore)
            valid = valid & (label != ignore)
            # Interpolated logits of the pixels.
            dx = tl.load(column_weight + x, mask=valid, other=0.0)[None, :]
            z = tl.where(channel, interpolate(v00, v01, v10, v11, dy, dx), -1e30)
            # Softmax over the classes, without overflow.
            one_hot = c[:, None] == label[None, :]
            z -= tl.max(z, 0)[None, :]
            q = tl.exp(z)
            q_sum = tl.sum(q, 0)
            # Cross-entropy and its gradient q - one_hot, both times the weight of the class; 0 where
            # ignored.
            factor = tl.load(weight + label, mask=valid & (label >= 0) & (label < C), other=0.0)
            # A label that is no class must not pass unseen: the loss becomes NaN.
            factor = tl.where(valid & ((label < 0) | (label >= C)), float("nan"), factor)
            total += (tl.log(q_sum) - tl.sum(tl.where(one_hot, z, 0.0), 0)) * factor
            d = (q / q_sum[None, :] - tl.where(one_hot, 1.0, 0.0)) * factor[None, :]
            g00, g01, g10, g11 = accumulate(d, dy, dx, g00, g01, g10, g11)
            x += 1
            left -= 1
        y += 1
    store_corners(d_ptr, size, g00, g01, g10, g11, b, c, C, i, j, h, w, cell)
    tl.store(values + (b * h + i) * tl.num_programs(0) + tl.program_id(0), tl.sum(total, 0))
