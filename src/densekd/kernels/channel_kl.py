"""Kullback-Leibler divergence between softmax distributions over positions, value and derivative in one visit."""

from importlib.util import find_spec

import torch
from torch import Tensor

from densekd.kernels.attach_grad import attach_grad
from densekd.kernels.choice import kernel
from densekd.kernels.divergence import Divergence, computed_in, require_one_shape, slope_like, softmax_
from densekd.kernels.groups import SINGLE, Groups
from densekd.ops.blocks import BLOCK_NUMEL

# Channels from which on channels-last maps are read as they lie.
_WIDE = 64


def channel_kl_reference(student: Tensor, teacher: Tensor, temperature: float = 1.0, groups: Groups = SINGLE) -> Tensor:
    """Compute :func:`channel_kl` in plain operations."""
    require_one_shape(student, teacher)
    dtype = computed_in(student, teacher)
    s, t = (x.to(dtype).flatten(2) / temperature for x in (student, teacher.detach()))
    if groups.order is not None:
        s, t = s[:, groups.order], t[:, groups.order]
    values = []
    for members in zip(*(torch.split(x, groups.size, 1) for x in (s, t)), strict=True):
        log_q, log_p = (x.flatten(1).log_softmax(1) for x in members)
        values.append((log_p.exp() * (log_p - log_q)).sum(1))
    return torch.stack(values, 1)


@kernel(channel_kl_reference)
def channel_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0, groups: Groups = SINGLE) -> Tensor:
    """``KL(softmax(teacher / T) || softmax(student / T))`` over all positions of each channel or group of channels.

    CWD (arXiv 2011.13256, eq. 4) and CGD. Value and derivative come from one visit of each channel, in which what is
    made beside the derivative fits a cache; groups of several channels are visited twice. Nothing but the derivative is
    kept, and it becomes the gradient. There is no second derivative.

    Args:
        student: logits ``[B, C, ...]``, finite, any floating point precision and memory layout; gets a gradient.
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
        value, slope = _fused(student, teacher, temperature, groups.size, groups.order)
        value = value.view(*value.shape, *[1] * (student.ndim - 2))
    # T meets the value, the smaller of the two: T KL has the derivative q - p.
    parts = attach_grad(value * temperature, student, slope).flatten(1) / temperature
    return parts if groups.size == 1 else groups.gathered(parts, 0.0).sum(2)


@torch.library.custom_op("densekd::channel_kl", mutates_args=())
def _fused(
    student: Tensor, teacher: Tensor, temperature: float, size: int, order: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return each channel's summand of the divergence ``[B, C]``, and ``q - p``."""
    return cpu_blocked(student, teacher, temperature, Groups(size, order))


@_fused.register_fake
def _(student: Tensor, teacher: Tensor, temperature: float, size: int, order: Tensor | None) -> tuple[Tensor, Tensor]:
    return student.new_empty(student.shape[:2], dtype=computed_in(student, teacher)), slope_like(student)


if find_spec("triton") is not None:

    @_fused.register_kernel("cuda")
    def _(
        student: Tensor, teacher: Tensor, temperature: float, size: int, order: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        from densekd.kernels.triton import channel_kl as chip

        if computed_in(student, teacher) == torch.float64:
            return cpu_blocked(student, teacher, temperature, Groups(size, order))
        return chip.channel_kl(student, teacher, temperature, Groups(size, order))


def cpu_blocked(student: Tensor, teacher: Tensor, temperature: float, groups: Groups) -> tuple[Tensor, Tensor]:
    """Do it part by part, in plain operations on buffers that stay in the cache: channels, or rows of channels-last."""
    slope = slope_like(student)
    s, t, d = (x.flatten(2) for x in (student, teacher, slope))
    dim = 0 if s.stride(1) == 1 and s.shape[1] >= _WIDE else 1
    if dim == 0:
        s, t, d = s.mT, t.mT, d.mT
    B, M, N = s.shape
    n = max(1, BLOCK_NUMEL // max(N, 1))
    buffers = s.new_empty(3, min(n, M), N, dtype=computed_in(student, teacher))
    parts = [(b, slice(m, min(m + n, M))) for b in range(B) for m in range(0, M, n)]
    known = []
    for at in parts:
        q, p, scratch = buffers[:, : len(s[at])]
        _scaled(s[at], temperature, q), _scaled(t[at], temperature, p)
        known.append(torch.stack(softmax_(q, p, scratch, dim)).squeeze(dim + 1))
        if dim == groups.size == 1:
            torch.sub(q, p, out=d[at])
    # [3, B, parts of a channel, C]
    rows = Divergence(*(torch.cat(known, 1).view(3, B, 1, M) if dim else torch.stack(known, 1).view(3, B, -1, N)))
    value, whole = groups.parts(rows.joined(1))
    if dim == groups.size == 1:
        return value, slope
    shares = [(x - y[:, None]).exp_().view(B, -1) for x, y in zip(rows[1:], whole[1:], strict=True)]
    for at, q_share, p_share in zip(parts, *(_by_part(x, n if dim else N) for x in shares), strict=True):
        q, p = buffers[:2, : len(s[at])]
        for x, share, into in ((s, q_share, q), (t, p_share, p)):
            torch.softmax(_scaled(x[at], temperature, into), dim, out=into).mul_(share.unsqueeze(dim))
        torch.sub(q, p, out=d[at])
    return value, slope


def _by_part(shares: Tensor, n: int) -> list[Tensor]:
    return [part for image in shares for part in image.split(n)]


def _scaled(x: Tensor, temperature: float, into: Tensor) -> Tensor:
    # An operation that also widens would compute in half precision.
    return torch.mul(x, 1 / temperature, out=into) if x.dtype == into.dtype else into.copy_(x).div_(temperature)
