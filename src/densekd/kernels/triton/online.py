"""Divergence along rows that are visited tile by tile: what is known grows, nothing is kept (online softmax)."""

import triton
import triton.language as tl


@triton.jit
def visit(x, y, inside, x_peak, y_peak, x_sum, y_sum, across):  # type: ignore
    """Take in a tile ``[rows, positions]`` of student and teacher and return the five numbers of each row anew.

    The largest values so far; the sums of ``exp(x - peak)`` and ``exp(y - peak)``; and the sum of
    ``exp(y - peak) ((y - peak) - (x - peak))``.
    """
    x, y = tl.where(inside, x, -1e30), tl.where(inside, y, -1e30)
    x_next, y_next = tl.maximum(x_peak, tl.max(x, 1)), tl.maximum(y_peak, tl.max(y, 1))
    x_step, y_step = x_peak - x_next, y_peak - y_next
    x -= x_next[:, None]
    y -= y_next[:, None]
    p = tl.where(inside, tl.exp(y), 0.0)
    across = tl.exp(y_step) * (across + y_sum * (y_step - x_step)) + tl.sum(p * (y - x), 1)
    x_sum = x_sum * tl.exp(x_step) + tl.sum(tl.where(inside, tl.exp(x), 0.0), 1)
    y_sum = y_sum * tl.exp(y_step) + tl.sum(p, 1)
    return x_next, y_next, x_sum, y_sum, across


@triton.jit
def store(known, at, size, inside, x_peak, y_peak, x_sum, y_sum, across):  # type: ignore
    """Write the divergence of each row and both log-sum-exps to ``known [3, size]``."""
    kl = across / y_sum + tl.log(x_sum) - tl.log(y_sum)
    tl.store(known + at, tl.maximum(kl, 0.0), mask=inside)
    tl.store(known + size + at, x_peak + tl.log(x_sum), mask=inside)
    tl.store(known + 2 * size + at, y_peak + tl.log(y_sum), mask=inside)
