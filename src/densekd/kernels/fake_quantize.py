"""Fake quantization (QAT): round to an integer grid and back, straight-through gradient inside its range."""

# any shape; one step for the whole tensor, or C steps along one axis

import torch
from torch import Tensor

from densekd.kernels.dispatch import kernel


def fake_quantize_reference(
    x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int, axis: int | None = None
) -> Tensor:
    """Compute :func:`fake_quantize` in plain operations."""
    if axis is not None:
        shape = [1] * x.ndim
        shape[axis] = -1
        scale, zero_point = scale.view(shape), zero_point.view(shape)
    # Round half to even, as integer engines do; the zero point is an integer of the grid.
    codes = torch.round(x.detach() * scale.reciprocal()) + zero_point
    inside = (codes >= low) & (codes <= high)
    rounded = (codes.clamp(low, high) - zero_point) * scale
    # Straight-through estimator: the gradient of the identity where the grid reaches, none where x
    # was clipped.
    straight = torch.where(inside, x, x.detach())
    return rounded.to(x.dtype) + (straight - straight.detach())


@kernel(fake_quantize_reference)
def fake_quantize(x: Tensor, scale: Tensor, zero_point: Tensor, low: int, high: int, axis: int | None = None) -> Tensor:
    """Round ``x`` to the integers ``low..high`` times a step, and return it as floating point.

    ``(clamp(round(x / scale) + zero_point, low, high) - zero_point) * scale``, with the clipped
    straight-through estimator as its gradient (Jacob et al., CVPR 2018, arXiv 1712.05877, equations
    11 and 12). One pass; for the backward pass one bit of each element is kept instead of ``x``.

    Args:
        x: floating point, any shape.
        scale: the step, positive, float32: a scalar, or ``[C]`` along ``axis``.
        zero_point: the integer that means 0, int32 of the shape of ``scale``.
        low: smallest integer.
        high: largest integer.
        axis: of the channels; None: one step for all.
    """
    if axis is None:
        return torch.fake_quantize_per_tensor_affine(x, scale, zero_point, low, high)
    return torch.fake_quantize_per_channel_affine(x, scale, zero_point, axis, low, high)
