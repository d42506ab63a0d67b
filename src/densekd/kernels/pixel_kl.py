"""Pixel-wise KL divergence: softmax over channels, loss and gradient in one fused pass."""

# B batch, C channels, N = H * W positions
# s, t logits of student and teacher over the temperature; q, p their softmax; grad = q - p

from importlib.util import find_spec

import torch
from torch import Tensor

from densekd.kernels.dispatch import kernel
from densekd.kernels.first_use import agrees
from densekd.ops.attach_grad import attach_grad
from densekd.ops.blocks import BLOCK_NUMEL
from densekd.ops.divergence import softmax_kl_
from densekd.ops.precision import compute_dtype, grad_like
from densekd.ops.shapes import require_one_shape

# Positions of a block at least, however many channels there are.
_LEAST = 16
# Channels-last maps of at least so many channels are rows of a matrix: 150 x 64 x 64 took 0.8 of the
# time of copies with contiguous positions, 512 x 64 x 128 0.5, but 19 x 64 x 128 2.2.
_WIDE = 64


def pixel_kl_reference(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Compute :func:`pixel_kl` in plain operations."""
    require_one_shape(student, teacher)
    dtype = compute_dtype(student, teacher)
    log_q = (student.to(dtype) / temperature).log_softmax(1)
    log_p = (teacher.detach().to(dtype) / temperature).log_softmax(1)
    return (log_p.exp() * (log_p - log_q)).sum(1)


@kernel(pixel_kl_reference)
def pixel_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """``KL(softmax(teacher / T) || softmax(student / T))`` over the channels at each position.

    Soft targets (arXiv 1503.02531) at every pixel (arXiv 1903.04197, eq. 1). Intermediate results
    fit a cache; nothing but the gradient is kept for the backward pass. There is no second
    derivative.

    Args:
        student: logits ``[B, C, ...]``, finite, any floating point precision and memory layout;
            gets a gradient.
        teacher: the same shape; gets none.
        temperature: T > 0.

    Returns:
        ``[B, ...]`` in nats, at least float32, >= 0.

    Raises:
        ValueError: shapes that differ.
    """
    require_one_shape(student, teacher)
    with torch.no_grad():
        value, grad = _fused(student, teacher, temperature)
    # q - p is the derivative of T * KL; dividing the value by T is cheaper than dividing the map.
    return attach_grad(value.unsqueeze(1) * temperature, student, grad).squeeze(1) / temperature


@torch.library.custom_op("densekd::pixel_kl", mutates_args=())
def _fused(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Return the divergence at each position, and ``q - p``."""
    return cpu_blocked(student, teacher, temperature)


@_fused.register_fake
def _fused_fake(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    shape = (len(student), *student.shape[2:])
    value = student.new_empty(shape, dtype=compute_dtype(student, teacher))
    return value, grad_like(student)


if find_spec("triton") is not None:

    @_fused.register_kernel("cuda")
    def _fused_cuda(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
        from densekd.kernels.triton import pixel_kl as triton

        double = compute_dtype(student, teacher) == torch.float64
        if double or student.shape[1] > triton.MAX_CHANNELS or not agrees("pixel_kl", student):
            return cpu_blocked(student, teacher, temperature)
        return triton.pixel_kl(student, teacher, temperature)


def cpu_blocked(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """Compute block by block of positions, on buffers that stay in the cache.

    A block is several small images, or some positions of one image; of wide channels-last maps,
    whose positions are rows of a matrix, it is some of these rows.
    """
    grad = grad_like(student)
    # [B, C, N]
    s, t, d = student.flatten(2), teacher.flatten(2), grad.flatten(2)
    B, C, N = s.shape
    value = s.new_empty(B, N, dtype=compute_dtype(student, teacher))
    dim = 1
    if d.stride(1) == 1 and C >= _WIDE:
        # [1, B N, C], a view of the gradient
        s, t, d = (x.mT.flatten(0, 1)[None] for x in (s, t, d))
        dim = 2
    out = value.view(d.shape[0], d.shape[3 - dim])
    for at in _blocks((d.shape[0], C, d.shape[3 - dim])):
        place = (at[0], slice(None), at[1]) if dim == 1 else at
        # Contiguous copies in the precision of the value; slices of larger buffers would not be
        # contiguous.
        q = s[place].to(value.dtype, memory_format=torch.contiguous_format, copy=True)
        p = t[place].to(value.dtype, memory_format=torch.contiguous_format, copy=True)
        if temperature != 1:
            q.div_(temperature)
            p.div_(temperature)
        # Softmax in place and divergence from the same exponentials, then the gradient.
        out[at] = softmax_kl_(q, p, torch.empty_like(q), dim).kl.squeeze(dim)
        if d.dtype == q.dtype and d.stride(2) == 1:
            torch.sub(q, p, out=d[place])
        else:
            # A copy is faster than an operation whose results lie apart or are rounded.
            d[place].copy_(q.sub_(p))
    return value.view(B, *student.shape[2:]), grad


def _blocks(shape: tuple[int, int, int]) -> list[tuple[slice, slice]]:
    """Index ``[B, N]`` of maps ``[B, C, N]``: all positions of several images, or some positions of one image."""
    B, C, N = shape
    # Fewer numbers than a block may have: its buffers must not outweigh small maps.
    images = max(1, BLOCK_NUMEL // max(4 * C * N, 1))
    positions = N
    if C * N > BLOCK_NUMEL:
        positions = max(BLOCK_NUMEL // C, _LEAST)
    blocks = []
    for b in range(0, B, images):
        for n in range(0, N, positions):
            blocks.append((slice(b, min(b + images, B)), slice(n, min(n + positions, N))))
    return blocks
