"""Channel-wise KL divergence (CWD): softmax over positions, loss and gradient in one fused pass."""

# B batch, C channels, N = H * W positions, G groups of channels, K parts of a channel
# s, t logits of student and teacher over the temperature; q, p their softmax; grad = q - p

from importlib.util import find_spec

import torch
from torch import Tensor

from densekd.kernels.dispatch import kernel
from densekd.kernels.first_use import agrees
from densekd.ops.attach_grad import attach_grad
from densekd.ops.blocks import BLOCK_NUMEL
from densekd.ops.divergence import Divergence, softmax_kl_
from densekd.ops.groups import SINGLE, Groups
from densekd.ops.precision import compute_dtype, grad_like
from densekd.ops.shapes import require_one_shape

# Channels-last maps of at least so many channels are read position by position, as they lie in
# memory.
_WIDE = 64


def channel_kl_reference(student: Tensor, teacher: Tensor, temperature: float = 1.0, groups: Groups = SINGLE) -> Tensor:
    """Compute :func:`channel_kl` in plain operations."""
    require_one_shape(student, teacher)
    dtype = compute_dtype(student, teacher)
    # [B, C, N]
    s = student.to(dtype).flatten(2) / temperature
    t = teacher.detach().to(dtype).flatten(2) / temperature
    if groups.order is not None:
        s = s[:, groups.order]
        t = t[:, groups.order]
    values = []
    s_groups, t_groups = torch.split(s, groups.size, 1), torch.split(t, groups.size, 1)
    for s_group, t_group in zip(s_groups, t_groups, strict=True):
        # One distribution over all positions of all channels of the group.
        log_q = s_group.flatten(1).log_softmax(1)
        log_p = t_group.flatten(1).log_softmax(1)
        values.append((log_p.exp() * (log_p - log_q)).sum(1))
    return torch.stack(values, 1)


@kernel(channel_kl_reference)
def channel_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0, groups: Groups = SINGLE) -> Tensor:
    """``KL(softmax(teacher / T) || softmax(student / T))`` over the positions of each channel.

    CWD (arXiv 2011.13256, eq. 4) and CGD. Value and gradient come from one pass over each channel,
    whose intermediate results fit a cache; groups of several channels take two passes. Nothing but
    the gradient is kept for the backward pass. There is no second derivative.

    Args:
        student: logits ``[B, C, ...]``, finite, any floating point precision and memory layout;
            gets a gradient.
        teacher: the same shape; gets none.
        temperature: T > 0.
        groups: see :class:`Groups`.

    Returns:
        ``[B, G]`` in nats, at least float32, >= 0 up to rounding.

    Raises:
        ValueError: shapes that differ.
    """
    require_one_shape(student, teacher)
    with torch.no_grad():
        value, grad = _fused(student, teacher, temperature, groups.size, groups.order)
        value = value.view(*value.shape, *[1] * (student.ndim - 2))
    # q - p is the derivative of T * KL; dividing the value by T is cheaper than dividing the map.
    by_channel = attach_grad(value * temperature, student, grad).flatten(1) / temperature
    if groups.size == 1:
        return by_channel
    return groups.gathered(by_channel, 0.0).sum(2)


@torch.library.custom_op("densekd::channel_kl", mutates_args=())
def _fused(
    student: Tensor, teacher: Tensor, temperature: float, size: int, order: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return each channel's summand of the divergence ``[B, C]``, and ``q - p``."""
    return cpu_blocked(student, teacher, temperature, Groups(size, order))


@_fused.register_fake
def _fused_fake(
    student: Tensor, teacher: Tensor, temperature: float, size: int, order: Tensor | None
) -> tuple[Tensor, Tensor]:
    value = student.new_empty(student.shape[:2], dtype=compute_dtype(student, teacher))
    return value, grad_like(student)


if find_spec("triton") is not None:

    @_fused.register_kernel("cuda")
    def _fused_cuda(
        student: Tensor, teacher: Tensor, temperature: float, size: int, order: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        from densekd.kernels.triton import channel_kl as triton

        groups = Groups(size, order)
        if compute_dtype(student, teacher) == torch.float64 or not agrees("channel_kl", student):
            return cpu_blocked(student, teacher, temperature, groups)
        return triton.channel_kl(student, teacher, temperature, groups)


def cpu_blocked(student: Tensor, teacher: Tensor, temperature: float, groups: Groups) -> tuple[Tensor, Tensor]:
    """Compute block by block, in plain operations on buffers that stay in the cache.

    A block is some channels of one image, or in wide channels-last maps all channels at some
    positions.
    """
    B, C = student.shape[:2]
    grad = grad_like(student)
    # [B, C, N]
    s, t, d = student.flatten(2), teacher.flatten(2), grad.flatten(2)
    # The axis of a block along which positions lie.
    dim = 0 if s.stride(1) == 1 and C >= _WIDE else 1
    if dim == 0:
        # [B, N, C]
        s, t, d = s.mT, t.mT, d.mT
    rows = min(s.shape[1], max(1, BLOCK_NUMEL // max(s.shape[2], 1)))
    blocks = _blocks(s, rows)
    buffers = s.new_empty(3, rows, s.shape[2], dtype=compute_dtype(student, teacher))
    # A channel that lies within one block and is a group of its own needs no second pass.
    one_pass = dim == 1 and groups.size == 1
    # First pass: the softmax within each block, and the statistics of its part of each channel.
    statistics = []
    for at in blocks:
        q, p, scratch = buffers[:, : len(s[at])]
        _scale(s[at], temperature, out=q)
        _scale(t[at], temperature, out=p)
        statistics.append(torch.stack(softmax_kl_(q, p, scratch, dim)).squeeze(dim + 1))
        if one_pass:
            torch.sub(q, p, out=d[at])
    # Join the parts of each channel [B, K, C], then the channels of each group.
    joined = torch.cat(statistics, 1) if dim == 1 else torch.stack(statistics, 1)
    parts = Divergence(*joined.view(3, B, -1, C))
    value, group = groups.summands(parts.joined(1))
    if one_pass:
        return value, grad
    # Second pass: the softmax within a block times the probability of its part within the group.
    q_share = (parts.student - group.student[:, None]).exp_()
    p_share = (parts.teacher - group.teacher[:, None]).exp_()
    for at in blocks:
        q, p = buffers[:2, : len(s[at])]
        for x, share, out in ((s, q_share, q), (t, p_share, p)):
            _scale(x[at], temperature, out=out)
            torch.softmax(out, dim, out=out).mul_(_of_block(share, at, dim, rows))
        torch.sub(q, p, out=d[at])
    return value, grad


Block = tuple[int, slice]


def _blocks(x: Tensor, rows: int) -> list[Block]:
    """Index the blocks of ``[B, M, N]``: an image, and at most ``rows`` of its M rows."""
    blocks = []
    for b in range(x.shape[0]):
        for first in range(0, x.shape[1], rows):
            blocks.append((b, slice(first, min(first + rows, x.shape[1]))))
    return blocks


def _of_block(share: Tensor, at: Block, dim: int, rows: int) -> Tensor:
    """Return the probability of the parts in a block, from ``[B, K, C]``; broadcasts against it."""
    b, part = at
    if dim == 1:
        # [rows, 1]: whole channels
        return share[b, 0, part, None]
    # [1, C]: the part of all channels at the block's positions
    return share[b, part.start // rows, None]


def _scale(x: Tensor, temperature: float, out: Tensor) -> Tensor:
    """Write ``x / temperature`` to ``out``, in its precision."""
    if x.dtype == out.dtype:
        return torch.mul(x, 1 / temperature, out=out)
    # An operation that also converts would compute in half precision.
    return out.copy_(x).div_(temperature)
