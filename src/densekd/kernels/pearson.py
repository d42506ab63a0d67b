"""Pearson correlation of two maps along some axes (DIST); nothing but the maps is kept."""

# any shape; statistics keep the axes of a set, with length one

from typing import Any, NamedTuple

import torch
from torch import Tensor

from densekd.ops.once_differentiable import once_differentiable

_EPS = 1e-8
Axes = tuple[tuple[int, ...], ...]


def pearson(student: Tensor, teacher: Tensor, *axes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """Correlate ``student`` with ``teacher`` along each set of axes.

    ``sum(s t) / (|s| |t| + 1e-8)``, both without their means. Autograd would keep a centered copy
    of both maps for each set; here the backward pass makes one map, the gradient. Peak memory
    beyond the inputs is half of both of them.

    Args:
        student: floating point, any shape; gets a gradient.
        teacher: the same shape; gets none.
        axes: sets of axes; each is correlated over on its own.

    Returns:
        For each set, correlations in [-1, 1] with its axes of length one; 0 where either is
        constant.
    """
    apply: Any = _Pearson.apply
    correlations: tuple[Tensor, ...] = apply(student, teacher, axes)
    return correlations


def pearson_reference(student: Tensor, teacher: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Return the correlation along one set of axes in plain operations."""
    s = student - student.mean(dims, keepdim=True)
    t = teacher.detach() - teacher.detach().mean(dims, keepdim=True)
    s_norm = s.square().sum(dims, keepdim=True).sqrt()
    t_norm = t.square().sum(dims, keepdim=True).sqrt()
    return (s * t).sum(dims, keepdim=True) / (s_norm * t_norm + _EPS)


class _Statistics(NamedTuple):
    """Means, norms of the centered maps, and correlation along one set of axes."""

    s_mean: Tensor
    t_mean: Tensor
    s_norm: Tensor
    t_norm: Tensor
    correlation: Tensor


class _Pearson(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, student: Tensor, teacher: Tensor, axes: Axes) -> tuple[Tensor, ...]:
        saved = [student, teacher]
        correlations = []
        for dims in axes:
            statistics = _correlate(student, teacher, dims)
            saved.extend(statistics)
            correlations.append(statistics.correlation)
        ctx.save_for_backward(*saved)
        return tuple(correlations)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        student, teacher, *saved = ctx.saved_tensors
        grad = torch.zeros_like(student)
        for k, up in enumerate(upstream):
            of_set = _Statistics(*saved[5 * k : 5 * k + 5])
            # d r / d s = (t - mean t) / (|s| |t|) - r (s - mean s) / |s|^2
            s_norm, t_norm = of_set.s_norm, of_set.t_norm
            by_t = up / (s_norm * t_norm + _EPS)
            by_s = -by_t * of_set.correlation * t_norm / s_norm.where(s_norm > 0, 1)
            # Centering the sum of both maps at once: no centered copy is made.
            grad.addcmul_(teacher, by_t).addcmul_(student, by_s)
            grad.sub_(of_set.t_mean * by_t + of_set.s_mean * by_s)
        return grad, None, None


def _correlate(student: Tensor, teacher: Tensor, dims: tuple[int, ...]) -> _Statistics:
    """Return the statistics along one set of axes, with two maps in memory at most."""
    s_mean = student.mean(dims, keepdim=True)
    t_mean = teacher.mean(dims, keepdim=True)
    s_norm = (student - s_mean).square_().sum(dims, keepdim=True).sqrt()
    t_norm = (teacher - t_mean).square_().sum(dims, keepdim=True).sqrt()
    centered = student - s_mean
    # The centered student sums to zero up to rounding, which the teacher's mean would magnify.
    offset = t_mean * centered.sum(dims, keepdim=True)
    product = centered.mul_(teacher).sum(dims, keepdim=True) - offset
    return _Statistics(s_mean, t_mean, s_norm, t_norm, product / (s_norm * t_norm + _EPS))
