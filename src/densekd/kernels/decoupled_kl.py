"""Kullback-Leibler divergence taken apart at the label, with one map kept for the backward pass."""

import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.kernels.attach_grad import attach_grad


def decoupled_kl(
    student: Tensor, teacher: Tensor, label: Tensor, weights: tuple[float, float], temperature: float
) -> Tensor:
    """Weigh how teacher and student divide between label and rest, and how they divide the rest among its classes.

    ``alpha KL([p_label, 1 - p_label] || [q_label, 1 - q_label]) + beta KL(p' || q')`` at every position, with p and q
    the softmax of ``teacher / T`` and ``student / T`` over the classes, p' and q' the same without the label. Peak
    memory beyond the inputs is 1.5 times both of them, 0.5 are kept for the backward pass.

    Args:
        student: logits ``[B, C, H, W]``, finite, float32 or float64; gets a gradient.
        teacher: the same shape; gets none.
        label: int64 ``[B, 1, H, W]`` in ``0 .. C - 1``.
        weights: alpha and beta.
        temperature: T > 0.

    Returns:
        ``[B, H, W]`` in nats, >= 0; 0 where C = 1.
    """
    alpha, beta = weights
    with torch.no_grad():
        (odds_s, log_s), (odds_t, log_t) = (_against_others(x, label, temperature) for x in (student, teacher))
        p = log_t.exp()
        among = log_t.sub_(log_s).mul_(p).sum(1, keepdim=True)
        binary = odds_t.sigmoid() * (F.logsigmoid(odds_t) - F.logsigmoid(odds_s))
        binary += (-odds_t).sigmoid() * (F.logsigmoid(-odds_t) - F.logsigmoid(-odds_s))
        # q_label - p_label, without the loss of digits where both are near one.
        shift = alpha * (odds_s.sigmoid() * (-odds_t).sigmoid() - (-odds_s).sigmoid() * odds_t.sigmoid())
        slope = log_s.exp_().mul_(beta - shift).sub_(p.mul_(beta)).scatter_(1, label, shift)
        value = (alpha * binary + beta * among) * temperature
    return attach_grad(value, student, slope).squeeze(1) / temperature


def _against_others(x: Tensor, label: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the label's log odds against all other classes, and the log-softmax of those."""
    x = x / temperature
    chosen = x.gather(1, label)
    # Far below the others, yet finite, so that a share of zero costs zero.
    others = x.scatter_(1, label, torch.finfo(x.dtype).min / 4)
    log = others.log_softmax(1)
    # The largest value less its log-softmax is the log-sum-exp.
    return chosen - (others.amax(1, keepdim=True) - log.amax(1, keepdim=True)), log
