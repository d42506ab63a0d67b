"""Kullback-Leibler divergence between two softmax distributions, without leaving log space."""

import torch
from torch import Tensor


def softmax_kl(student: Tensor, teacher: Tensor, dim: int) -> Tensor:
    """KL(softmax(teacher) || softmax(student)) along ``dim``.

    Both logarithms come from log-softmax, so probabilities that underflow to zero contribute zero and never NaN
    (``softmax().log()``, which several released implementations use, gives NaN there).

    Args:
        student: logits already divided by the temperature, any shape, floating point.
        teacher: the same shape.
        dim: the axis over which each distribution sums to one.

    Returns:
        The divergence in nats, >= 0, with ``dim`` removed; float32 for half-precision inputs, else the inputs' dtype.

    Raises:
        ValueError: shapes that differ; broadcasting one map over many would be a silent mistake.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher must have one shape, got {list(student.shape)} and {list(teacher.shape)}"
        )
    accumulate = torch.float64 if student.dtype == torch.float64 else torch.float32
    log_student = student.log_softmax(dim, dtype=accumulate)
    log_teacher = teacher.log_softmax(dim, dtype=accumulate)
    return (log_teacher.exp() * (log_teacher - log_student)).sum(dim)
