"""Softmax and KL divergence of a tile that holds whole distributions."""

import triton
import triton.language as tl


@triton.jit
def not_negative(x):  # type: ignore
    """Return ``max(x, 0)``, and NaN of NaN, of which a plain maximum on CUDA makes 0."""
    return tl.maximum(x, 0.0, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def softmax_kl(s, t):  # type: ignore
    """Compare distributions along the first axis.

    Args:
        s: logits of the student over the temperature, ``[CHANNELS, BLOCK]``; -1e30 where there is
            no channel.
        t: the same of the teacher.

    Returns:
        q, p: softmax of student and teacher; and KL(p || q), ``[BLOCK]``, >= 0.
    """
    # Subtract the maxima, so that no exponential overflows.
    s -= tl.max(s, 0)[None, :]
    t -= tl.max(t, 0)[None, :]
    q = tl.exp(s)
    p = tl.exp(t)
    q_sum = tl.sum(q, 0)
    p_sum = tl.sum(p, 0)
    p /= p_sum[None, :]
    # KL = sum p (t - s) + lse(s) - lse(t)
    kl = tl.sum(p * (t - s), 0) + tl.log(q_sum) - tl.log(p_sum)
    return q / q_sum[None, :], p, not_negative(kl)
