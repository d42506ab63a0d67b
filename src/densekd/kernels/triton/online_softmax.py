"""Online softmax of two models: KL divergence of rows that are read tile by tile."""

# a tile has ROWS rows (channels) x COLUMNS positions
# s, t logits of student and teacher over the temperature, [ROWS, COLUMNS]
# statistics of a row, [ROWS]:
#   s_max, t_max  largest logits so far
#   s_sum, t_sum  sums of exp(s - s_max) and exp(t - t_max)
#   cross         sum of exp(t - t_max) * ((t - t_max) - (s - s_max))

import triton
import triton.language as tl

from densekd.kernels.triton.softmax import not_negative


@triton.jit
def update_statistics(s, t, valid, s_max, t_max, s_sum, t_sum, cross):  # type: ignore
    """Return the statistics of each row after a tile; logits that are not ``valid`` do not count."""
    s = tl.where(valid, s, -1e30)
    t = tl.where(valid, t, -1e30)
    # New maxima, and how far the old ones lie below.
    s_next = tl.maximum(s_max, tl.max(s, 1))
    t_next = tl.maximum(t_max, tl.max(t, 1))
    s_shift = s_max - s_next
    t_shift = t_max - t_next
    s -= s_next[:, None]
    t -= t_next[:, None]
    p = tl.where(valid, tl.exp(t), 0.0)
    # Rescale what was accumulated to the new maxima, add the tile.
    cross = tl.exp(t_shift) * (cross + t_sum * (t_shift - s_shift)) + tl.sum(p * (t - s), 1)
    s_sum = s_sum * tl.exp(s_shift) + tl.sum(tl.where(valid, tl.exp(s), 0.0), 1)
    t_sum = t_sum * tl.exp(t_shift) + tl.sum(p, 1)
    return s_next, t_next, s_sum, t_sum, cross


@triton.jit
def store_statistics(out, at, size, valid, s_max, t_max, s_sum, t_sum, cross):  # type: ignore
    """Write the divergence of each row and both log-sum-exps to ``out [3, size]`` at index ``at``."""
    kl = cross / t_sum + tl.log(s_sum) - tl.log(t_sum)
    tl.store(out + at, not_negative(kl), mask=valid)
    tl.store(out + size + at, s_max + tl.log(s_sum), mask=valid)
    tl.store(out + 2 * size + at, t_max + tl.log(t_sum), mask=valid)
