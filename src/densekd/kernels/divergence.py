"""Divergences of distributions that are looked at part by part."""

from typing import NamedTuple

import torch
from torch import Tensor


class Divergence(NamedTuple):
    """What is known of a part of two distributions.

    Args:
        kl: the divergence within the part, in nats.
        student: log-sum-exp of the student's logits over the part.
        teacher: the same of the teacher's.
    """

    kl: Tensor
    student: Tensor
    teacher: Tensor

    def parts(self, dim: int) -> Tensor:
        """Take the divergence of the joint distribution over ``dim`` apart: a summand for each part (chain rule)."""
        log_p, log_q = (x.log_softmax(dim) for x in (self.teacher, self.student))
        return log_p.exp() * (self.kl + log_p - log_q)

    def joined(self, dim: int) -> "Divergence":
        """Return what is known of all parts along ``dim`` together."""
        return Divergence(self.parts(dim).sum(dim), self.student.logsumexp(dim), self.teacher.logsumexp(dim))


def softmax_(student: Tensor, teacher: Tensor, scratch: Tensor, dim: int) -> Divergence:
    """Turn logits into their softmax along ``dim``, in place, and return how far these are apart.

    Args:
        student: finite logits over the temperature.
        teacher: the same shape and precision.
        scratch: the same; lost.
        dim: stays, with length one.
    """
    peaks = [x.amax(dim, keepdim=True) for x in (student, teacher)]
    torch.sub(teacher.sub_(peaks[1]), student.sub_(peaks[0]), out=scratch)
    for x in (student, teacher):
        torch.softmax(x, dim, out=x)
    # The largest probability belongs to the logit 0: its logarithm is the log-sum-exp with the other sign.
    sizes = [-x.amax(dim, keepdim=True).log() for x in (student, teacher)]
    kl = scratch.mul_(teacher).sum(dim, keepdim=True) + (sizes[0] - sizes[1])
    return Divergence(kl.clamp_(min=0), *(peak + size for peak, size in zip(peaks, sizes, strict=True)))


def require_one_shape(student: Tensor, teacher: Tensor) -> None:
    """Refuse tensors that differ in shape.

    Raises:
        ValueError: says both shapes.
    """
    if student.shape != teacher.shape:
        raise ValueError(
            f"student and teacher must have one shape, got {list(student.shape)} and {list(teacher.shape)}"
        )


def slope_like(student: Tensor) -> Tensor:
    """Return an empty map for the derivative, channels-last where the student is, else contiguous.

    In float16's five exponent bits the derivative of a mean would underflow before it is scaled.
    """
    last = student.ndim == 4 and student.is_contiguous(memory_format=torch.channels_last)
    return torch.empty_like(
        student,
        dtype=torch.float32 if student.dtype == torch.float16 else student.dtype,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )


def computed_in(*inputs: Tensor) -> torch.dtype:
    """Return the precision to compute in: at least float32."""
    dtype = torch.float32
    for x in inputs:
        dtype = torch.promote_types(dtype, x.dtype)
    return dtype
