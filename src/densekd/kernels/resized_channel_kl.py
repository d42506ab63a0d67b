"""Channel-wise divergence of enlarged maps that are never held."""

from importlib.util import find_spec

import torch
from torch import Tensor

from densekd.kernels.attach_grad import attach_grad
from densekd.kernels.channel_kl import channel_kl_reference
from densekd.kernels.choice import kernel
from densekd.kernels.divergence import Divergence, computed_in, slope_like, softmax_
from densekd.kernels.groups import SINGLE, Groups
from densekd.ops.interpolation import Upsample, UpsampleBackward, UpsampledRows, require_one_kind


def resized_channel_kl_reference(
    student: Tensor, teacher: Tensor, to: Upsample, temperature: float = 1.0, groups: Groups = SINGLE
) -> Tensor:
    """Compute :func:`resized_channel_kl` in plain operations."""
    require_one_kind(student, teacher)
    return channel_kl_reference(to(student), to(teacher), temperature, groups)


@kernel(resized_channel_kl_reference)
def resized_channel_kl(
    student: Tensor, teacher: Tensor, to: Upsample, temperature: float = 1.0, groups: Groups = SINGLE
) -> Tensor:
    """:func:`densekd.kernels.channel_kl` of bilinearly enlarged maps, without ever holding these.

    Both are enlarged twice, stripe by stripe: for the sums over each channel, and for the derivative, which is brought
    back to the student's own size at once. Nothing else is kept. There is no second derivative.

    Args:
        student: logits ``[B, C, h, w]``, finite, any floating point precision and memory layout; gets a gradient.
        teacher: ``[B, C, h', w']``; gets none.
        to: what both are enlarged to.
        temperature: T > 0.
        groups: see :class:`densekd.kernels.Groups`.

    Returns:
        ``[B, G]`` in nats, at least float32, >= 0 up to rounding.

    Raises:
        ValueError: another number of images or channels.
    """
    require_one_kind(student, teacher)
    with torch.no_grad():
        value, slope = _fused(student, teacher, [*to.size], to.align_corners, temperature, groups.size, groups.order)
    parts = attach_grad(value[..., None, None] * temperature, student, slope).flatten(1) / temperature
    return parts if groups.size == 1 else groups.gathered(parts, 0.0).sum(2)


@torch.library.custom_op("densekd::resized_channel_kl", mutates_args=())
def _fused(
    student: Tensor,
    teacher: Tensor,
    size: list[int],
    align_corners: bool,
    temperature: float,
    group_size: int,
    order: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Return each channel's summand of the divergence ``[B, C]``, and ``q - p`` brought back to the student's size."""
    to = Upsample((size[0], size[1]), align_corners)
    return cpu_blocked(student, teacher, to, temperature, Groups(group_size, order))


@_fused.register_fake
def _(
    student: Tensor,
    teacher: Tensor,
    size: list[int],
    align_corners: bool,
    temperature: float,
    group_size: int,
    order: Tensor | None,
) -> tuple[Tensor, Tensor]:
    return student.new_empty(student.shape[:2], dtype=computed_in(student, teacher)), slope_like(student)


if find_spec("triton") is not None:

    @_fused.register_kernel("cuda")
    def _(
        student: Tensor,
        teacher: Tensor,
        size: list[int],
        align_corners: bool,
        temperature: float,
        group_size: int,
        order: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        from densekd.kernels.triton import resized_channel_kl as chip

        to = Upsample((size[0], size[1]), align_corners)
        if computed_in(student, teacher) == torch.float64:
            return cpu_blocked(student, teacher, to, temperature, Groups(group_size, order))
        return chip.resized_channel_kl(student, teacher, to, temperature, Groups(group_size, order))


def cpu_blocked(
    student: Tensor, teacher: Tensor, to: Upsample, temperature: float, groups: Groups
) -> tuple[Tensor, Tensor]:
    """Do it stripe by stripe, in plain operations on buffers that stay in the cache."""
    slope, dtype = slope_like(student), computed_in(student, teacher)
    B, C = student.shape[:2]
    known = student.new_empty(3, B, to.size[0], C, dtype=dtype)
    buffers = student.new_empty(3, max(map(len, to.stripes(C))), C, to.size[1], dtype=dtype)
    # Every row of every channel is a part of a distribution.
    for b, (s, t) in enumerate(zip(student, teacher, strict=True)):
        rows = [UpsampledRows(x, to, 1 / temperature) for x in (s, t)]
        for stripe in to.stripes(C):
            q, p, scratch = buffers[:, : len(stripe)]
            rows[0].read(stripe, q), rows[1].read(stripe, p)
            known[:, b, stripe.start : stripe.stop] = torch.stack(softmax_(q, p, scratch, 2))[..., 0]
    parts = Divergence(*known)
    value, whole = groups.parts(parts.joined(1))
    shares = torch.stack([(x - y[:, None]).exp_() for x, y in zip(parts[1:], whole[1:], strict=True)])
    for b, (s, t, d) in enumerate(zip(student, teacher, slope, strict=True)):
        rows, adjoint = [UpsampledRows(x, to, 1 / temperature) for x in (s, t)], UpsampleBackward(d, to)
        for stripe in to.stripes(C):
            q, p = buffers[:2, : len(stripe)]
            for x, into, share in zip(rows, (q, p), shares[:, b, stripe.start : stripe.stop, :, None], strict=True):
                torch.softmax(x.read(stripe, into), 2, out=into).mul_(share)
            adjoint.add(stripe, q.sub_(p))
    return value, slope
