"""Pearson correlation along some axes of two maps, with a backward pass that keeps nothing but the maps themselves."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

_EPS = 1e-8


def pearson(student: Tensor, teacher: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Correlate ``student`` with ``teacher`` along ``dims``: ``sum(s t) / (|s| |t| + 1e-8)``, both without their means.

    Autograd would keep a centred copy of both maps for every set of axes; here several calls share the two maps.

    Args:
        student: floating point, any shape; gets a gradient.
        teacher: the same shape; gets none.
        dims: the axes that are correlated over.

    Returns:
        Correlations in [-1, 1] with ``dims`` of length one; 0 where either is constant.
    """
    correlation: Tensor = _Pearson.apply(student, teacher, dims)  # type: ignore[no-untyped-call]
    return correlation


def pearson_reference(student: Tensor, teacher: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return the same as :func:`pearson` in plain operations."""
    s, t = (x - x.mean(dims, keepdim=True) for x in (student, teacher.detach()))
    norms = (x.square().sum(dims, keepdim=True).sqrt() for x in (s, t))
    return (s * t).sum(dims, keepdim=True) / (torch.stack(list(norms)).prod(0) + _EPS)


class _Pearson(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, dims: tuple[int, ...]) -> Tensor:
        mean_s, mean_t = student.mean(dims, keepdim=True), teacher.mean(dims, keepdim=True)
        norm_t = (teacher.var(dims, correction=0, keepdim=True) * (teacher.numel() / mean_t.numel())).sqrt()
        centred = student - mean_s
        norm_s = torch.linalg.vector_norm(centred, dim=dims, keepdim=True)
        # The centred student sums to zero up to rounding, which the teacher's mean would magnify.
        offset = mean_t * centred.sum(dims, keepdim=True)
        correlation: Tensor = (centred.mul_(teacher).sum(dims, keepdim=True) - offset) / (norm_s * norm_t + _EPS)
        ctx.save_for_backward(student, teacher, mean_s, mean_t, norm_s, norm_t, correlation)
        return correlation

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        student, teacher, mean_s, mean_t, norm_s, norm_t, correlation = ctx.saved_tensors
        along_t = gradient / (norm_s * norm_t + _EPS)
        along_s = -along_t * correlation * norm_t / norm_s.where(norm_s > 0, 1)
        result = (teacher * along_t).addcmul_(student, along_s)
        return result.sub_(mean_t * along_t + mean_s * along_s), None, None
