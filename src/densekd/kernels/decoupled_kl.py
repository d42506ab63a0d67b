"""Decoupled KL divergence (DKD): label against rest, and among the rest; one map is kept."""

# B batch, C classes, H, W height and width
# p, q softmax of teacher and student over the classes without the label's
# odds = log(p_label / (1 - p_label))

import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.ops.attach_grad import attach_grad


def decoupled_kl(
    student: Tensor, teacher: Tensor, label: Tensor, weights: tuple[float, float], temperature: float
) -> Tensor:
    """Weighted sum of the KL of label against rest and the KL among the rest, at every position.

    ``alpha KL([p_label, 1 - p_label] || [q_label, 1 - q_label]) + beta KL(p' || q')``, with p and q
    the softmax of ``teacher / T`` and ``student / T`` over the classes, p' and q' the same without
    the label (arXiv 2203.08679, eq. 7). Peak memory beyond the inputs is 1.5 times both of them,
    0.5 are kept for the backward pass.

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
        # Odds [B, 1, H, W] of the label, log-softmax [B, C, H, W] of the other classes.
        s_odds, log_q = _label_against_rest(student, label, temperature)
        t_odds, log_p = _label_against_rest(teacher, label, temperature)
        # KL among the other classes, in the memory of log p.
        p = log_p.exp()
        among_rest = log_p.sub_(log_q).mul_(p).sum(1, keepdim=True)
        # Binary KL of the label against the rest: its two summands.
        binary = t_odds.sigmoid() * (F.logsigmoid(t_odds) - F.logsigmoid(s_odds))
        binary += (-t_odds).sigmoid() * (F.logsigmoid(-t_odds) - F.logsigmoid(-s_odds))
        # alpha (q_label - p_label), without the loss of digits where both are near one.
        q_more = s_odds.sigmoid() * (-t_odds).sigmoid()
        p_more = (-s_odds).sigmoid() * t_odds.sigmoid()
        label_grad = alpha * (q_more - p_more)
        # What the label's class gains the others lose, in proportion to q.
        grad = log_q.exp_().mul_(beta - label_grad).sub_(p.mul_(beta))
        grad.scatter_(1, label, label_grad)
        value = (alpha * binary + beta * among_rest) * temperature
    return attach_grad(value, student, grad).squeeze(1) / temperature


def _label_against_rest(x: Tensor, label: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the label's log odds against all other classes, and the log-softmax of those."""
    x = x / temperature
    chosen = x.gather(1, label)
    # Far below the other classes, yet finite, so that a share of zero costs zero.
    others = x.scatter_(1, label, torch.finfo(x.dtype).min / 4)
    log_softmax = others.log_softmax(1)
    # The largest logit less its log-softmax is the log-sum-exp.
    log_sum_exp = others.amax(1, keepdim=True) - log_softmax.amax(1, keepdim=True)
    return chosen - log_sum_exp, log_softmax
