"""Cross-entropy of bilinearly upsampled logits that are never materialized."""

# B batch, C classes, R rows of a block
# h, w height and width of the logits; H, W height and width of the labels
# q softmax of the upsampled logits; grad = weight * (q - one_hot(label)), brought back to h, w

from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.kernels.dispatch import kernel
from densekd.kernels.first_use import agrees
from densekd.ops.attach_grad import attach_grad
from densekd.ops.interpolation import Upsample, UpsampleBackward, UpsampledRows, resize
from densekd.ops.precision import compute_dtype, grad_like, to_float32


def resized_cross_entropy_reference(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool = False
) -> Tensor:
    """Compute :func:`resized_cross_entropy` in plain operations."""
    H, W = labels.shape[1:]
    # Not an ``Upsample``: torch.compile cannot call an instance that is made within its graph.
    upsampled = resize(to_float32(logits), (H, W), align_corners)
    if weight is not None:
        weight = weight.to(upsampled.dtype)
    return F.cross_entropy(upsampled, labels, weight, ignore_index=ignore_index, reduction="sum")


@kernel(resized_cross_entropy_reference)
def resized_cross_entropy(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool = False
) -> Tensor:
    """Sum of the cross-entropy of bilinearly upsampled logits over all pixels that are not ignored.

    Blocks of upsampled rows are made, turned into the gradient, and brought back to the logits' own
    size. No more than a block exists at a time, and nothing but the gradient is kept. There is no
    second derivative.

    Args:
        logits: ``[B, C, h, w]``, any floating point precision and memory layout; gets a gradient.
        labels: int64 ``[B, H, W]`` in ``0 .. C - 1``, or ``ignore_index``.
        weight: ``[C]``, a factor for each class, or None.
        ignore_index: label of ignored pixels.
        align_corners: as in ``F.interpolate``.

    Returns:
        A scalar in nats, at least float32; on CUDA NaN where a label is no class.

    Raises:
        IndexError, RuntimeError: a label that is no class, on the CPU.
    """
    if logits.shape[2:] == labels.shape[1:]:
        # Nothing to upsample: torch's own kernel is as good.
        return resized_cross_entropy_reference(logits, labels, weight, ignore_index, align_corners)
    with torch.no_grad():
        value, grad = _fused(logits, labels, weight, ignore_index, align_corners)
    return attach_grad(value, logits, grad)


@torch.library.custom_op("densekd::resized_cross_entropy", mutates_args=())
def _fused(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool
) -> tuple[Tensor, Tensor]:
    """Return the value and its gradient by the logits."""
    return cpu_blocked(logits, labels, weight, ignore_index, align_corners)


@_fused.register_fake
def _fused_fake(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool
) -> tuple[Tensor, Tensor]:
    return logits.new_empty((), dtype=compute_dtype(logits)), grad_like(logits)


if find_spec("triton") is not None:

    @_fused.register_kernel("cuda")
    def _fused_cuda(
        logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool
    ) -> tuple[Tensor, Tensor]:
        from densekd.kernels.triton import resized_cross_entropy as triton

        taken = compute_dtype(logits) != torch.float64 and logits.shape[1] <= triton.MAX_CHANNELS
        if not taken or not agrees("resized_cross_entropy", logits):
            return cpu_blocked(logits, labels, weight, ignore_index, align_corners)
        return triton.resized_cross_entropy(logits, labels, weight, ignore_index, align_corners)


def cpu_blocked(
    logits: Tensor, labels: Tensor, weight: Tensor | None, ignore_index: int, align_corners: bool
) -> tuple[Tensor, Tensor]:
    """Compute block by block of upsampled rows, on buffers that stay in the cache."""
    B, C = logits.shape[:2]
    H, W = labels.shape[1:]
    grad, dtype = grad_like(logits), compute_dtype(logits)
    upsample = Upsample((H, W), align_corners)
    total = logits.new_zeros((), dtype=torch.float64)
    if weight is None:
        weight = torch.ones(C, device=logits.device)
    weight = weight.to(dtype)
    # [R, C, W]
    buffer = logits.new_empty(upsample.block_rows(C), C, W, dtype=dtype)
    for b in range(B):
        rows, backward = UpsampledRows(logits[b], upsample), UpsampleBackward(grad[b], upsample)
        for block in upsample.row_blocks(C):
            # Labels and their class weights, [R, 1, W]; ignored pixels have weight 0.
            label = labels[b, block.start : block.stop, None]
            valid = label != ignore_index
            label = label.where(valid, 0)
            factor = weight[label].where(valid, 0)
            # Upsample some rows; the softmax replaces them, the logit of the label is read before.
            q = rows.read(block, buffer[: len(block)])
            log_q = q.gather(1, label) - q.amax(1, keepdim=True)
            torch.softmax(q, 1, out=q)
            # The largest probability belongs to the largest logit: its logarithm is minus the
            # log-sum-exp.
            log_q += q.amax(1, keepdim=True).log_()
            total -= (log_q * factor).sum()
            # Gradient of the upsampled rows, added to the rows of the logits they came from.
            block_grad = q.mul_(factor).scatter_add_(1, label, -factor)
            backward.add(block, block_grad)
    return total.to(dtype), grad
