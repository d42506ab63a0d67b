"""Channel-wise KL divergence of bilinearly upsampled maps that are never materialized."""

# B batch, C channels, G groups of channels, R rows of a block
# h, w height and width of the student's map; H, W height and width after upsampling
# s, t logits of student and teacher over the temperature; q, p their softmax
# grad = q - p, brought back to h, w

from importlib.util import find_spec

import torch
from torch import Tensor

from densekd.kernels.channel_kl import channel_kl_reference
from densekd.kernels.dispatch import kernel
from densekd.kernels.first_use import agrees
from densekd.ops.attach_grad import attach_grad
from densekd.ops.divergence import Divergence, softmax_kl_
from densekd.ops.groups import SINGLE, Groups
from densekd.ops.interpolation import Upsample, UpsampleBackward, UpsampledRows
from densekd.ops.precision import compute_dtype, grad_like
from densekd.ops.shapes import require_one_kind


def resized_channel_kl_reference(
    student: Tensor, teacher: Tensor, upsample: Upsample, temperature: float = 1.0, groups: Groups = SINGLE
) -> Tensor:
    """Compute :func:`resized_channel_kl` in plain operations."""
    require_one_kind(student, teacher)
    return channel_kl_reference(upsample(student), upsample(teacher), temperature, groups)


@kernel(resized_channel_kl_reference)
def resized_channel_kl(
    student: Tensor, teacher: Tensor, upsample: Upsample, temperature: float = 1.0, groups: Groups = SINGLE
) -> Tensor:
    """:func:`densekd.kernels.channel_kl` of bilinearly upsampled maps, without ever holding these.

    Both maps are upsampled twice, a block of rows at a time: for the softmax of each channel, and
        for the gradient,
    which is brought back to the student's own size at once. Nothing else is kept. There is no
    second derivative.

    Args:
        student: logits ``[B, C, h, w]``, finite, any floating point precision and memory layout;
            gets a gradient.
        teacher: ``[B, C, h', w']``; gets none.
        upsample: size ``H, W`` of both maps before they are compared.
        temperature: T > 0.
        groups: see :class:`densekd.kernels.Groups`.

    Returns:
        ``[B, G]`` in nats, at least float32, >= 0 up to rounding.

    Raises:
        ValueError: another number of images or channels.
    """
    require_one_kind(student, teacher)
    to = (list(upsample.size), upsample.align_corners)
    with torch.no_grad():
        value, grad = _fused(student, teacher, *to, temperature, groups.size, groups.order)
        value = value[..., None, None]
    # q - p is the derivative of T * KL; dividing the value by T is cheaper than dividing the map.
    by_channel = attach_grad(value * temperature, student, grad).flatten(1) / temperature
    if groups.size == 1 and groups.order is None:
        return by_channel
    return groups.gathered(by_channel, 0.0).sum(2)


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
    """Return each channel's summand ``[B, C]``, and ``q - p`` at the student's size."""
    upsample = Upsample((size[0], size[1]), align_corners)
    return cpu_blocked(student, teacher, upsample, temperature, Groups(group_size, order))


@_fused.register_fake
def _fused_fake(
    student: Tensor,
    teacher: Tensor,
    size: list[int],
    align_corners: bool,
    temperature: float,
    group_size: int,
    order: Tensor | None,
) -> tuple[Tensor, Tensor]:
    value = student.new_empty(student.shape[:2], dtype=compute_dtype(student, teacher))
    return value, grad_like(student)


if find_spec("triton") is not None:

    @_fused.register_kernel("cuda")
    def _fused_cuda(
        student: Tensor,
        teacher: Tensor,
        size: list[int],
        align_corners: bool,
        temperature: float,
        group_size: int,
        order: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        from densekd.kernels.triton import resized_channel_kl as triton

        upsample, groups = Upsample((size[0], size[1]), align_corners), Groups(group_size, order)
        if compute_dtype(student, teacher) == torch.float64 or not agrees("resized_channel_kl", student):
            return cpu_blocked(student, teacher, upsample, temperature, groups)
        return triton.resized_channel_kl(student, teacher, upsample, temperature, groups)


def cpu_blocked(
    student: Tensor, teacher: Tensor, upsample: Upsample, temperature: float, groups: Groups
) -> tuple[Tensor, Tensor]:
    """Compute block by block of upsampled rows, on buffers that stay in the cache."""
    B, C = student.shape[:2]
    H, W = upsample.size
    grad, dtype = grad_like(student), compute_dtype(student, teacher)
    scale = 1 / temperature
    # [R, C, W] each
    buffers = student.new_empty(3, upsample.block_rows(C), C, W, dtype=dtype)
    # First pass: every upsampled row of every channel is a part of its distribution.
    statistics = student.new_empty(3, B, H, C, dtype=dtype)
    for b in range(B):
        s_rows = UpsampledRows(student[b], upsample, scale)
        t_rows = UpsampledRows(teacher[b], upsample, scale)
        for block in upsample.row_blocks(C):
            q, p, scratch = buffers[:, : len(block)]
            s_rows.read(block, q)
            t_rows.read(block, p)
            part = softmax_kl_(q, p, scratch, 2)
            statistics[:, b, block.start : block.stop] = torch.stack(part)[..., 0]
    # Join the rows of each channel, then the channels of each group.
    parts = Divergence(*statistics)
    value, group = groups.summands(parts.joined(1))
    # Second pass: the softmax within a row times the probability of the row within its group, [B,
    # H, C, 1].
    q_share = (parts.student - group.student[:, None]).exp_()[..., None]
    p_share = (parts.teacher - group.teacher[:, None]).exp_()[..., None]
    for b in range(B):
        s_rows = UpsampledRows(student[b], upsample, scale)
        t_rows = UpsampledRows(teacher[b], upsample, scale)
        backward = UpsampleBackward(grad[b], upsample)
        for block in upsample.row_blocks(C):
            q, p = buffers[:2, : len(block)]
            for rows, share, out in ((s_rows, q_share, q), (t_rows, p_share, p)):
                rows.read(block, out)
                torch.softmax(out, 2, out=out).mul_(share[b, block.start : block.stop])
            # Gradient of the upsampled rows, added to the rows of the map they came from.
            backward.add(block, q.sub_(p))
    return value, grad
