"""Divergences between softmax distributions: in log space, and with one map kept for the backward pass.

With p the teacher's distribution and q the student's, each has the derivative ``(q - p) / T`` by the student's logits.
It is taken in the forward pass and nothing else is kept. Peak memory beyond the inputs, in units of both of them in
float32: 1.5 in the forward pass, 0.5 between the two and, with the gradient, in the backward pass.
"""

import torch
from torch import Tensor

from densekd.kernels.attach_grad import attach_grad
from densekd.kernels.divergence import require_one_shape


def softmax_kl(student: Tensor, teacher: Tensor, dim: int, temperature: float = 1.0) -> Tensor:
    """KL(softmax(teacher / T) || softmax(student / T)) along ``dim``.

    Both logarithms come from log-softmax, so probabilities that underflow to zero contribute zero and never NaN
    (``softmax().log()``, which several released implementations use, gives NaN there).

    Args:
        student: logits, any shape, finite, floating point; gets a gradient.
        teacher: the same shape; gets none.
        dim: the axis over which each distribution sums to one.
        temperature: T > 0.

    Returns:
        The divergence in nats, >= 0, with ``dim`` removed; float32 for half-precision inputs, else the inputs' dtype.

    Raises:
        ValueError: shapes that differ; broadcasting one map over many would be a silent mistake.
    """
    require_one_shape(student, teacher)
    with torch.no_grad():
        log_student, log_teacher = (_log_softmax(x, dim, temperature) for x in (student, teacher))
        value, slope = _divergence(log_student, log_teacher, dim)
    # T meets the value, the smaller of the two: T KL has the derivative q - p.
    return attach_grad(value * temperature, student, slope).squeeze(dim) / temperature


def soft_cross_entropy(student: Tensor, teacher: Tensor, dim: int, temperature: float = 1.0) -> Tensor:
    """``- sum softmax(teacher / T) log softmax(student / T)`` along ``dim``: the divergence plus the teacher's entropy.

    Arguments, result and errors are those of :func:`softmax_kl`, and so is the gradient.
    """
    require_one_shape(student, teacher)
    with torch.no_grad():
        log_student = _log_softmax(student, dim, temperature)
        probability = _log_softmax(teacher, dim, temperature).exp_()
        value = -(probability * log_student).sum(dim, keepdim=True)
        slope = log_student.exp_().sub_(probability)
    return attach_grad(value * temperature, student, slope).squeeze(dim) / temperature


def _log_softmax(x: Tensor, dim: int, temperature: float) -> Tensor:
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return (x if temperature == 1 else x / temperature).log_softmax(dim)


def _divergence(log_student: Tensor, log_teacher: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    """Return ``sum p (log p - log q)`` along ``dim``, which stays, and ``q - p``; both arguments are used up."""
    probability = log_teacher.exp()
    value = log_teacher.sub_(log_student).mul_(probability).sum(dim, keepdim=True)
    return value, log_student.exp_().sub_(probability)
