"""Pixel-wise divergence of enlarged logits that are never held."""

from importlib.util import find_spec

import torch
from torch import Tensor

from densekd.kernels.attach_grad import attach_grad
from densekd.kernels.choice import kernel
from densekd.kernels.divergence import computed_in, slope_like, softmax_
from densekd.kernels.pixel_kl import pixel_kl_reference
from densekd.ops.interpolation import Upsample, UpsampleBackward, UpsampledRows, require_one_kind


def resized_pixel_kl_reference(
    student: Tensor, teacher: Tensor, to: Upsample, temperature: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Compute :func:`resized_pixel_kl` in plain operations."""
    require_one_kind(student, teacher)
    value = pixel_kl_reference(to(student), to(teacher), temperature)
    return (value if weight is None else value * weight).sum()


@kernel(resized_pixel_kl_reference)
def resized_pixel_kl(
    student: Tensor, teacher: Tensor, to: Upsample, temperature: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Weigh and sum :func:`densekd.kernels.pixel_kl` of bilinearly enlarged maps, without ever holding these.

    Stripes of both are made, turned into the derivative, and brought back to the student's own size. No more than a
    stripe exists at a time, and nothing but the derivative is kept. There is no second derivative.

    Args:
        student: logits ``[B, C, h, w]``, finite, any floating point precision and memory layout; gets a gradient.
        teacher: ``[B, C, h', w']``; gets none.
        to: what both are enlarged to.
        temperature: T > 0.
        weight: ``[B, H, W]`` factors of the positions, or None.

    Returns:
        A scalar in nats, at least float32, >= 0 for weights >= 0.

    Raises:
        ValueError: another number of images or channels.
    """
    require_one_kind(student, teacher)
    with torch.no_grad():
        value, slope = _fused(student, teacher, [*to.size], to.align_corners, temperature, weight)
    return attach_grad(value * temperature, student, slope) / temperature


@torch.library.custom_op("densekd::resized_pixel_kl", mutates_args=())
def _fused(
    student: Tensor, teacher: Tensor, size: list[int], align_corners: bool, temperature: float, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the value and ``q - p``, weighed and brought back to the student's size."""
    return cpu_blocked(student, teacher, Upsample((size[0], size[1]), align_corners), temperature, weight)


@_fused.register_fake
def _(
    student: Tensor, teacher: Tensor, size: list[int], align_corners: bool, temperature: float, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    return student.new_empty((), dtype=computed_in(student, teacher)), slope_like(student)


if find_spec("triton") is not None:

    @_fused.register_kernel("cuda")
    def _(
        student: Tensor, teacher: Tensor, size: list[int], corners: bool, temperature: float, weight: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        from densekd.kernels.triton import resized_pixel_kl as chip

        if computed_in(student, teacher) == torch.float64 or student.shape[1] > chip.MOST:
            return cpu_blocked(student, teacher, Upsample((size[0], size[1]), corners), temperature, weight)
        return chip.resized_pixel_kl(student, teacher, Upsample((size[0], size[1]), corners), temperature, weight)


def cpu_blocked(
    student: Tensor, teacher: Tensor, to: Upsample, temperature: float, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Do it stripe by stripe, in plain operations on buffers that stay in the cache."""
    slope, dtype = slope_like(student), computed_in(student, teacher)
    C, W = student.shape[1], to.size[1]
    total = student.new_zeros((), dtype=torch.float64)
    buffers = student.new_empty(3, max(map(len, to.stripes(C))), C, W, dtype=dtype)
    for b, (s, t, d) in enumerate(zip(student, teacher, slope, strict=True)):
        rows, adjoint = [UpsampledRows(x, to, 1 / temperature) for x in (s, t)], UpsampleBackward(d, to)
        for stripe in to.stripes(C):
            q, p, scratch = buffers[:, : len(stripe)]
            rows[0].read(stripe, q), rows[1].read(stripe, p)
            value, pull = softmax_(q, p, scratch, 1).kl, q.sub_(p)
            if weight is not None:
                share = weight[b, stripe.start : stripe.stop, None].to(dtype)
                value, pull = value * share, pull.mul_(share)
            total += value.sum()
            adjoint.add(stripe, pull)
    return total.to(dtype), slope
