"""Kullback-Leibler divergence between softmax distributions over channels, value and derivative in one visit."""

from importlib.util import find_spec
from itertools import product

import torch
from torch import Tensor

from densekd.kernels.attach_grad import attach_grad
from densekd.kernels.choice import kernel
from densekd.kernels.divergence import computed_in, require_one_shape, slope_like, softmax_
from densekd.ops.blocks import BLOCK_NUMEL


def pixel_kl_reference(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Compute :func:`pixel_kl` in plain operations."""
    require_one_shape(student, teacher)
    dtype = computed_in(student, teacher)
    log_q, log_p = ((x.to(dtype) / temperature).log_softmax(1) for x in (student, teacher.detach()))
    return (log_p.exp() * (log_p - log_q)).sum(1)


@kernel(pixel_kl_reference)
def pixel_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """``KL(softmax(teacher / T) || softmax(student / T))`` over the channels at each position.

    Soft targets (arXiv 1503.02531) at every pixel (arXiv 1903.04197, eq. 1). What is made beside the derivative fits a
    cache; nothing else is kept, and it becomes the gradient. There is no second derivative.

    Args:
        student: logits ``[B, C, ...]``, finite, any floating point precision and memory layout; gets a gradient.
        teacher: the same shape; gets none.
        temperature: T > 0.

    Returns:
        ``[B, ...]`` in nats, at least float32, >= 0.

    Raises:
        ValueError: shapes that differ.
    """
    require_one_shape(student, teacher)
    with torch.no_grad():
        value, slope = _fused(student, teacher, temperature)
    # T meets the value, the smaller of the two: T KL has the derivative q - p.
    return attach_grad(value.unsqueeze(1) * temperature, student, slope).squeeze(1) / temperature


@torch.library.custom_op("densekd::pixel_kl", mutates_args=())
def _fused(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the divergence at each position, and ``q - p``."""
    return cpu_blocked(student, teacher, temperature)


@_fused.register_fake
def _(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    value = student.new_empty((len(student), *student.shape[2:]), dtype=computed_in(student, teacher))
    return value, slope_like(student)


if find_spec("triton") is not None:

    @_fused.register_kernel("cuda")
    def _(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        from densekd.kernels.triton import pixel_kl as chip

        if computed_in(student, teacher) == torch.float64 or student.shape[1] > chip.MOST:
            return cpu_blocked(student, teacher, temperature)
        return chip.pixel_kl(student, teacher, temperature)


def cpu_blocked(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Do it block of positions by block, in plain operations on buffers that stay in the cache."""
    slope = slope_like(student)
    s, t, d = (x.flatten(2) for x in (student, teacher, slope))
    B, C, N = s.shape
    n = min(N, max(BLOCK_NUMEL // max(C, 1), 16))
    value = s.new_empty(B, N, dtype=computed_in(student, teacher))
    # One buffer for each and each block: a slice of a wider one would not be contiguous.
    for b, first in product(range(B), range(0, N, n)):
        at = (b, slice(None), slice(first, min(first + n, N)))
        q, p = (x[at].to(value.dtype, memory_format=torch.contiguous_format, copy=True) for x in (s, t))
        if temperature != 1:
            q.div_(temperature), p.div_(temperature)
        value[b, at[2]] = softmax_(q, p, torch.empty_like(q), 0).kl[0]
        torch.sub(q, p, out=d[at])
    return value.view(B, *student.shape[2:]), slope
