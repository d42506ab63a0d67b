"""Cross-entropy of enlarged logits that are never held."""

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.kernels.attach_grad import attach_grad
from densekd.kernels.choice import kernel
from densekd.kernels.divergence import computed_in, slope_like
from densekd.ops.interpolation import Upsample, UpsampleBackward, UpsampledRows


def resized_cross_entropy_reference(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool = False
) -> Tensor:
    """Compute :func:`resized_cross_entropy` in plain operations."""
    H, W = labels.shape[1:]
    large = Upsample((H, W), align_corners)(logits)
    weight = weight if weight is None else weight.to(large.dtype)
    return F.cross_entropy(large, labels, weight, ignore_index=ignore_index, reduction="sum")


@kernel(resized_cross_entropy_reference)
def resized_cross_entropy(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool = False
) -> Tensor:
    """Sum the cross-entropy of bilinearly enlarged logits over all pixels that are not void.

    Stripes of the enlarged logits are made, turned into their derivative, and brought back to the logits' own size. No
    more than a stripe exists at a time, and nothing but the derivative is kept. There is no second derivative.

    Args:
        logits: ``[B, C, h, w]``, any floating point precision and memory layout; gets a gradient.
        labels: int64 ``[B, H, W]`` in ``0 .. C - 1``, or ``ignore_index``.
        weight: ``[C]``, a factor for each class, or None.
        ignore_index: label of void pixels.
        align_corners: as ``F.interpolate`` has it.

    Returns:
        A scalar in nats, at least float32.
    """
    if logits.shape[2:] == labels.shape[1:]:
        return resized_cross_entropy_reference(logits, labels, weight, ignore_index, align_corners)
    with torch.no_grad():
        value, slope = _fused(logits, labels, weight, ignore_index, align_corners)
    return attach_grad(value, logits, slope)


@torch.library.custom_op("densekd::resized_cross_entropy", mutates_args=())
def _fused(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool
) -> tuple[Tensor, Tensor]:
    """Return the value and its derivative by the logits."""
    return cpu_blocked(logits, labels, weight, ignore_index, align_corners)


@_fused.register_fake
def _(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool
) -> tuple[Tensor, Tensor]:
    return logits.new_empty((), dtype=computed_in(logits)), slope_like(logits)


if find_spec("triton") is not None:

    @_fused.register_kernel("cuda")
    def _(
        logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool
    ) -> tuple[Tensor, Tensor]:
        from densekd.kernels.triton import resized_cross_entropy as chip

        if computed_in(logits) == torch.float64 or logits.shape[1] > chip.MOST:
            return cpu_blocked(logits, labels, weight, ignore_index, align_corners)
        return chip.resized_cross_entropy(logits, labels, weight, ignore_index, align_corners)


def cpu_blocked(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool
) -> tuple[Tensor, Tensor]:
    """Do it stripe by stripe, in plain operations on buffers that stay in the cache."""
    slope, dtype = slope_like(logits), computed_in(logits)
    H, W = labels.shape[1:]
    to = Upsample((H, W), align_corners)
    C = logits.shape[1]
    total = logits.new_zeros((), dtype=torch.float64)
    weight = torch.ones(C, dtype=dtype, device=logits.device) if weight is None else weight.to(dtype)
    buffer = logits.new_empty(max(map(len, to.stripes(C))), C, W, dtype=dtype)
    for x, d, truth in zip(logits, slope, labels, strict=True):
        rows, adjoint = UpsampledRows(x, to), UpsampleBackward(d, to)
        for stripe in to.stripes(C):
            label = truth[stripe.start : stripe.stop, None]
            kept = label != ignore_index
            label = label.where(kept, 0)
            factor = weight[label].where(kept, 0)
            q = rows.read(stripe, buffer[: len(stripe)])
            log_q = q.gather(1, label) - q.amax(1, keepdim=True)
            torch.softmax(q, 1, out=q)
            # The largest probability belongs to the largest logit.
            log_q += q.amax(1, keepdim=True).log_()
            total -= (log_q * factor).sum()
            adjoint.add(stripe, q.mul_(factor).scatter_add_(1, label, -factor))
    return total.to(dtype), slope
