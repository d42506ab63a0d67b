"""Channel-wise KL divergence (CWD): softmax over positions, loss and gradient in one fused pass."""

# B batch, C channels, N = H * W positions, G groups of channels, K parts of a channel
# s, t logits of student and teacher over the temperature; q, p their softmax; grad = q - p

from collections.abc import Iterator
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

# Channels-last maps of at least so many channels are copied as transposed matrices, narrower ones
# element by element: of 19 channels the second took 0.6 of the time, of 512 three times as much.
_WIDE = 64
# Channels-last images of at most so many numbers are transposed, channel by channel, and need one
# pass; larger ones are read position by position, as they lie in memory, twice. 150 x 64 x 64 took
# 0.8 of the time of two passes, 150 x 128 x 128 as long, 512 x 64 x 128 1.4 times as long.
_TRANSPOSED_NUMEL = 1 << 20
# Groups need two passes anyhow: 150 x 16 x 16 took 0.9 of the time, 512 x 12 x 16 1.1 of it.
_TRANSPOSED_NUMEL_OF_GROUPS = 1 << 16


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
    if groups.size == 1 and groups.order is None:
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

    A block is some channels of one image, several small images, or of large channels-last images all
    channels at some positions.
    """
    # [B, C, N]
    s, t = student.flatten(2), teacher.flatten(2)
    grad = grad_like(student)
    channels_last = s.stride(1) == 1 and s.shape[1] >= _WIDE
    most = _TRANSPOSED_NUMEL if groups.size == 1 else _TRANSPOSED_NUMEL_OF_GROUPS
    if channels_last and s.shape[1] * s.shape[2] > most:
        value = _by_position(s, t, grad.flatten(2), temperature, groups)
    else:
        value = _by_channel(s, t, grad.flatten(2), temperature, groups)
    return value, grad


def _by_channel(s: Tensor, t: Tensor, d: Tensor, temperature: float, groups: Groups) -> Tensor:
    """Fill the gradient ``d [B, C, N]`` block by block of whole channels; return the summands."""
    C, N = s.shape[1:]
    if groups.size > 1 and (groups.order is not None or groups.size * N > BLOCK_NUMEL):
        return _in_two_passes(s, t, d, temperature, groups)
    value = s.new_empty(s.shape[:2], dtype=compute_dtype(s, t))
    # Groups of equal size, then a last one of what is left over.
    equal = C - C % groups.size
    for channels in (slice(0, equal), slice(equal, C)):
        size = min(groups.size, channels.stop - channels.start)
        if size > 0:
            parts = (s[:, channels], t[:, channels], d[:, channels], value[:, channels])
            _whole_groups(*parts, temperature, size)
    return value


def _whole_groups(s: Tensor, t: Tensor, d: Tensor, value: Tensor, temperature: float, size: int) -> None:
    """Fill gradient and summands of groups of ``size`` neighbours in one pass, block by block of whole groups."""
    for at, (q, p, scratch) in _with_buffers(s, value.dtype, size):
        _scale(s[at], temperature, out=q)
        _scale(t[at], temperature, out=p)
        # One distribution over the channels of a group, [images, groups, size * N].
        shape = (len(q), -1, size * q.shape[2])
        kl = softmax_kl_(q.view(shape), p.view(shape), scratch.view(shape), 2).kl
        # Each channel gets an equal part: what counts is the sum over its group.
        value[at] = (kl / size).expand(-1, -1, size).flatten(1)
        _subtract(q, p, out=d[at])


def _in_two_passes(s: Tensor, t: Tensor, d: Tensor, temperature: float, groups: Groups) -> Tensor:
    """Fill the gradient of groups that lie apart or are larger than a block; return the summands."""
    dtype = compute_dtype(s, t)
    # First pass: statistics of each channel, [3, B, C].
    statistics = s.new_empty(3, *s.shape[:2], dtype=dtype)
    for at, (q, p, scratch) in _with_buffers(s, dtype):
        _scale(s[at], temperature, out=q)
        _scale(t[at], temperature, out=p)
        statistics[:, at[0], at[1]] = torch.stack(softmax_kl_(q, p, scratch, 2)).squeeze(3)
    value, group = groups.summands(Divergence(*statistics))
    # Second pass: the softmax of a channel times the probability of the channel within its group.
    q_share = (statistics[1] - group.student).exp_()[..., None]
    p_share = (statistics[2] - group.teacher).exp_()[..., None]
    for at, (q, p, _) in _with_buffers(s, dtype):
        for x, share, out in ((s, q_share, q), (t, p_share, p)):
            _scale(x[at], temperature, out=out)
            torch.softmax(out, 2, out=out).mul_(share[at])
        _subtract(q, p, out=d[at])
    return value


Block = tuple[slice, slice]


def _with_buffers(x: Tensor, dtype: torch.dtype, size: int = 1) -> Iterator[tuple[Block, Tensor]]:
    """Go through ``x [B, C, N]`` by blocks of whole groups, each with three buffers of its shape and no gaps."""
    buffer = x.new_empty(0, dtype=dtype)
    for at in _channel_blocks(x.shape, size):
        shape = x[at].shape
        # The first block is the largest.
        if buffer.numel() == 0:
            buffer = x.new_empty(3 * shape.numel(), dtype=dtype)
        yield at, buffer[: 3 * shape.numel()].view(3, *shape)


def _channel_blocks(shape: torch.Size, size: int = 1) -> list[Block]:
    """Index ``[B, C, N]`` by images and channels: several whole images, or groups of ``size`` channels of one."""
    B, C, N = shape
    # Fewer numbers than a block may have: its buffers must not outweigh small maps.
    images = max(1, BLOCK_NUMEL // max(4 * C * N, 1))
    channels = C
    if C * N > BLOCK_NUMEL:
        channels = max(1, BLOCK_NUMEL // (size * N)) * size
    blocks = []
    for b in range(0, B, images):
        for c in range(0, C, channels):
            blocks.append((slice(b, min(b + images, B)), slice(c, min(c + channels, C))))
    return blocks


def _scale(x: Tensor, temperature: float, out: Tensor) -> None:
    """Write ``x [G, M, N] / temperature`` to ``out``, in its precision."""
    if _is_wide(x):
        # Matrices of one precision are transposed in tiles, image by image.
        for image, target in zip(x, out, strict=True):
            target.copy_(image.to(out.dtype))
        out.mul_(1 / temperature)
    elif x.dtype == out.dtype:
        torch.mul(x, 1 / temperature, out=out)
    else:
        # An operation that also converts would compute in half precision.
        out.copy_(x).mul_(1 / temperature)


def _subtract(q: Tensor, p: Tensor, out: Tensor) -> None:
    """Write ``q - p [G, M, N]``, a block of the gradient, to its place; overwrites ``q``."""
    if out.dtype == q.dtype and out.stride(2) == 1:
        torch.sub(q, p, out=out)
    elif _is_wide(out):
        # Rounded first: a copy that converts does not work in tiles.
        for image, target in zip(q.sub_(p), out, strict=True):
            target.copy_(image.to(out.dtype))
    else:
        # A copy is faster than an operation whose results lie apart or are rounded.
        out.copy_(q.sub_(p))


def _is_wide(x: Tensor) -> bool:
    """Tell whether a block ``[G, M, N]`` belongs to a channels-last map of many channels."""
    return x.stride(1) == 1 and x.stride(2) >= _WIDE


def _by_position(s: Tensor, t: Tensor, d: Tensor, temperature: float, groups: Groups) -> Tensor:
    """Fill the gradient ``d [B, C, N]`` of channels-last maps, block by block of positions."""
    B, C, N = s.shape
    # [B, N, C]
    s, t, d = s.mT, t.mT, d.mT
    rows = min(N, max(1, BLOCK_NUMEL // C))
    places = [(b, k, slice(first, first + rows)) for b in range(B) for k, first in enumerate(range(0, N, rows))]
    dtype = compute_dtype(s, t)
    buffers = s.new_empty(3, rows, C, dtype=dtype)
    # First pass: statistics of the part of each channel that lies in a block, [3, B, K, C].
    statistics = s.new_empty(3, B, len(range(0, N, rows)), C, dtype=dtype)
    for b, k, at in places:
        q, p, scratch = buffers[:, : len(s[b, at])]
        _scale_positions(s[b, at], temperature, out=q)
        _scale_positions(t[b, at], temperature, out=p)
        statistics[:, b, k] = torch.stack(softmax_kl_(q, p, scratch, 0))[:, 0]
    # Join the parts of each channel, then the channels of each group.
    parts = Divergence(*statistics)
    value, group = groups.summands(parts.joined(1))
    # Second pass: the softmax from the log-sum-exps of the whole groups, [1, C].
    for b, _, at in places:
        q, p = buffers[:2, : len(s[b, at])]
        for x, lse, out in ((s, group.student, q), (t, group.teacher, p)):
            _scale_positions(x[b, at], temperature, out=out)
            out.sub_(lse[b]).exp_()
        d[b, at].copy_(q.sub_(p))
    return value


def _scale_positions(x: Tensor, temperature: float, out: Tensor) -> None:
    """Write ``x [M, C] / temperature`` to ``out``, in its precision."""
    if x.dtype == out.dtype:
        torch.mul(x, 1 / temperature, out=out)
    else:
        out.copy_(x).mul_(1 / temperature)
