"""Pixel-wise KL divergence of bilinearly upsampled logits that are never materialized."""

# B batch, C channels, R rows of a block
# h, w height and width of the student's map; H, W height and width after upsampling
# s, t logits of student and teacher over the temperature; q, p their softmax
# grad = q - p, brought back to h, w

from importlib.util import find_spec

import torch
from torch import Tensor

from densekd.kernels.dispatch import kernel
from densekd.kernels.first_use import agrees
from densekd.kernels.pixel_kl import pixel_kl_reference
from densekd.ops.attach_grad import attach_grad
from densekd.ops.divergence import softmax_kl_
from densekd.ops.interpolation import Upsample, UpsampleBackward, UpsampledRows
from densekd.ops.precision import compute_dtype, grad_like
from densekd.ops.shapes import require_one_kind


def resized_pixel_kl_reference(
    student: Tensor, teacher: Tensor, upsample: Upsample, temperature: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Compute :func:`resized_pixel_kl` in plain operations."""
    require_one_kind(student, teacher)
    value = pixel_kl_reference(upsample(student), upsample(teacher), temperature)
    if weight is not None:
        value = value * weight
    return value.sum()


@kernel(resized_pixel_kl_reference)
def resized_pixel_kl(
    student: Tensor, teacher: Tensor, upsample: Upsample, temperature: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Weighted sum of :func:`densekd.kernels.pixel_kl` of upsampled maps, without holding these.

    Blocks of upsampled rows are made, turned into the gradient, and brought back to the student's
    own size. No more than a block exists at a time, and nothing but the gradient is kept. There is
    no second derivative.

    Args:
        student: logits ``[B, C, h, w]``, finite, any floating point precision and memory layout;
            gets a gradient.
        teacher: ``[B, C, h', w']``; gets none.
        upsample: size ``H, W`` of both maps before they are compared.
        temperature: T > 0.
        weight: ``[B, H, W]`` factors of the positions, or None.

    Returns:
        A scalar in nats, at least float32, >= 0 for weights >= 0.

    Raises:
        ValueError: another number of images or channels.
    """
    require_one_kind(student, teacher)
    with torch.no_grad():
        size, align_corners = list(upsample.size), upsample.align_corners
        value, grad = _fused(student, teacher, size, align_corners, temperature, weight)
    # q - p is the derivative of T * KL; dividing the value by T is cheaper than dividing the map.
    return attach_grad(value * temperature, student, grad) / temperature


@torch.library.custom_op("densekd::resized_pixel_kl", mutates_args=())
def _fused(
    student: Tensor, teacher: Tensor, size: list[int], align_corners: bool, temperature: float, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the value and ``q - p``, weighted and brought back to the student's size."""
    upsample = Upsample((size[0], size[1]), align_corners)
    return cpu_blocked(student, teacher, upsample, temperature, weight)


@_fused.register_fake
def _fused_fake(
    student: Tensor, teacher: Tensor, size: list[int], align_corners: bool, temperature: float, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    return student.new_empty((), dtype=compute_dtype(student, teacher)), grad_like(student)


if find_spec("triton") is not None:

    @_fused.register_kernel("cuda")
    def _fused_cuda(
        student: Tensor,
        teacher: Tensor,
        size: list[int],
        align_corners: bool,
        temperature: float,
        weight: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        from densekd.kernels.triton import resized_pixel_kl as triton

        upsample = Upsample((size[0], size[1]), align_corners)
        double = compute_dtype(student, teacher) == torch.float64
        if double or student.shape[1] > triton.MAX_CHANNELS or not agrees("resized_pixel_kl", student):
            return cpu_blocked(student, teacher, upsample, temperature, weight)
        return triton.resized_pixel_kl(student, teacher, upsample, temperature, weight)


def cpu_blocked(
    student: Tensor, teacher: Tensor, upsample: Upsample, temperature: float, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Compute block by block of upsampled rows, on buffers that stay in the cache."""
    B, C = student.shape[:2]
    grad, dtype = grad_like(student), compute_dtype(student, teacher)
    scale = 1 / temperature
    total = student.new_zeros((), dtype=torch.float64)
    # [R, C, W] each
    buffers = student.new_empty(3, upsample.block_rows(C), C, upsample.size[1], dtype=dtype)
    for b in range(B):
        s_rows = UpsampledRows(student[b], upsample, scale)
        t_rows = UpsampledRows(teacher[b], upsample, scale)
        backward = UpsampleBackward(grad[b], upsample)
        for block in upsample.row_blocks(C):
            # Upsample some rows of both maps.
            q, p, scratch = buffers[:, : len(block)]
            s_rows.read(block, q)
            t_rows.read(block, p)
            # Softmax in place and divergence [R, 1, W] from the same exponentials, then the
            # gradient.
            value = softmax_kl_(q, p, scratch, 1).kl
            block_grad = q.sub_(p)
            if weight is not None:
                # [R, 1, W]
                factor = weight[b, block.start : block.stop, None].to(dtype)
                value = value * factor
                block_grad.mul_(factor)
            total += value.sum()
            # Gradient of the upsampled rows, added to the rows of the map they came from.
            backward.add(block, block_grad)
    return total.to(dtype), grad
