"""KL divergence and soft cross-entropy of softmax distributions, one map kept for the gradient.

With p the teacher's distribution and q the student's, each has the derivative ``(q - p) / T`` by
the student's logits. It is computed in the forward pass and nothing else is kept. Peak memory
beyond the inputs, in units of both of them in float32: 1.5 in the forward pass, 0.5 between the two
and, with the gradient, in the backward pass.
"""

# any shape; dim the axis of the distributions
# q, p softmax of student and teacher; grad = q - p

import torch
from torch import Tensor

from densekd.ops.attach_grad import attach_grad
from densekd.ops.precision import to_float32
from densekd.ops.shapes import require_one_shape


def softmax_kl(student: Tensor, teacher: Tensor, dim: int, temperature: float = 1.0) -> Tensor:
    """KL(softmax(teacher / T) || softmax(student / T)) along ``dim``.

    Both logarithms come from log-softmax, so probabilities that underflow to zero contribute zero
    and never NaN (``softmax().log()``, which several released implementations use, gives NaN
    there).

    Args:
        student: logits, any shape, finite, floating point; gets a gradient.
        teacher: the same shape; gets none.
        dim: the axis over which each distribution sums to one.
        temperature: T > 0.

    Returns:
        The divergence in nats, >= 0, with ``dim`` removed; float32 for half-precision inputs, else
        the inputs' dtype.

    Raises:
        ValueError: shapes that differ; broadcasting one map over many would be a silent mistake.
    """
    require_one_shape(student, teacher)
    with torch.no_grad():
        log_q = _log_softmax(student, dim, temperature)
        log_p = _log_softmax(teacher, dim, temperature)
        # sum p (log p - log q), in the memory of log p
        p = log_p.exp()
        value = log_p.sub_(log_q).mul_(p).sum(dim, keepdim=True)
        # q - p, in the memory of log q
        grad = log_q.exp_().sub_(p)
    # q - p is the derivative of T * KL; dividing the value by T is cheaper than dividing the map.
    return attach_grad(value * temperature, student, grad).squeeze(dim) / temperature


def soft_cross_entropy(student: Tensor, teacher: Tensor, dim: int, temperature: float = 1.0) -> Tensor:
    """``- sum softmax(teacher / T) log softmax(student / T)`` along ``dim``.

    The divergence of :func:`softmax_kl` plus the teacher's entropy.

    Arguments, result and errors are those of :func:`softmax_kl`, and so is the gradient.
    """
    require_one_shape(student, teacher)
    with torch.no_grad():
        log_q = _log_softmax(student, dim, temperature)
        p = _log_softmax(teacher, dim, temperature).exp_()
        value = -(p * log_q).sum(dim, keepdim=True)
        # q - p, in the memory of log q
        grad = log_q.exp_().sub_(p)
    return attach_grad(value * temperature, student, grad).squeeze(dim) / temperature


def _log_softmax(x: Tensor, dim: int, temperature: float) -> Tensor:
    x = to_float32(x)
    if temperature != 1:
        x = x / temperature
    return x.log_softmax(dim)
