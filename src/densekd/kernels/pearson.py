"""Pearson correlation along some axes of two maps, with a backward pass that keeps nothing but the maps themselves."""

from typing import Any

import torch
from torch import Tensor

from densekd.ops.once_differentiable import once_differentiable

_EPS = 1e-8


def pearson(student: Tensor, teacher: Tensor, *axes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Correlate ``student`` with ``teacher`` along each set of axes.

    ``sum(s t) / (|s| |t| + 1e-8)``, both without their means. Autograd would keep a centered copy of both maps for each
    set; here the backward pass makes one map, the gradient. Peak memory beyond the inputs is half of both of them.

    Args:
        student: floating point, any shape; gets a gradient.
        teacher: the same shape; gets none.
        axes: what is correlated over, one set of axes after the other.

    Returns:
        For each set, correlations in [-1, 1] with its axes of length one; 0 where either is constant.
    """
    correlations: tuple[Tensor, ...] = _Pearson.apply(student, teacher, axes)  # type: ignore[no-untyped-call]
    return correlations


def pearson_reference(student: Tensor, teacher: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return the correlation along one set of axes in plain operations."""
    s, t = (x - x.mean(dims, keepdim=True) for x in (student, teacher.detach()))
    norms = (x.square().sum(dims, keepdim=True).sqrt() for x in (s, t))
    return (s * t).sum(dims, keepdim=True) / (torch.stack(list(norms)).prod(0) + _EPS)


class _Pearson(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, axes: tuple[tuple[int, ...], ...]) -> tuple[Tensor, ...]:
        moments = [_moments(student, teacher, dims) for dims in axes]
        ctx.save_for_backward(student, teacher, *(x for moment in moments for x in moment))
        return tuple(moment[-1] for moment in moments)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        student, teacher, *moments = ctx.saved_tensors
        result = torch.zeros_like(student)
        for k, gradient in enumerate(gradients):
            mean_s, mean_t, norm_s, norm_t, correlation = moments[5 * k : 5 * k + 5]
            along_t = gradient / (norm_s * norm_t + _EPS)
            along_s = -along_t * correlation * norm_t / norm_s.where(norm_s > 0, 1)
            result.addcmul_(teacher, along_t).addcmul_(student, along_s).sub_(mean_t * along_t + mean_s * along_s)
        return result, None, None


def _moments(student: Tensor, teacher: Tensor, dims: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Return means and norms without the means, of student and teacher, and the correlation."""
    mean_s, mean_t = student.mean(dims, keepdim=True), teacher.mean(dims, keepdim=True)
    norm_s, norm_t = (
        (x - mean).square_().sum(dims, keepdim=True).sqrt() for x, mean in ((student, mean_s), (teacher, mean_t))
    )
    centered = student - mean_s
    # The centered student sums to zero up to rounding, which the teacher's mean would magnify.
    offset = mean_t * centered.sum(dims, keepdim=True)
    correlation: Tensor = (centered.mul_(teacher).sum(dims, keepdim=True) - offset) / (norm_s * norm_t + _EPS)
    return mean_s, mean_t, norm_s, norm_t, correlation
