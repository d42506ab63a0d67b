"""Scale- and shift-invariant loss with multi-scale gradient matching (MiDaS, arXiv 1907.01341, section 5)."""

from typing import Literal

import torch
from torch import Tensor

from densekd.tasks.depth.alignment import scale_and_shift

Alignment = Literal["median", "least_squares"]


def normalized(values: Tensor, valid: Tensor) -> Tensor:
    """Bring each map to median 0 and mean absolute deviation 1 over its valid pixels.

    Args:
        values: ``[B, H, W]``, float.
        valid: bool ``[B, H, W]``.

    Returns:
        ``(values - t) / s`` with t the median and s the mean of ``|values - t|``, ``[B, H, W]``; 0 where not valid.
    """
    unknown = torch.full_like(values, float("nan"))
    median = values.where(valid, unknown).flatten(1).nanmedian(1).values.nan_to_num(0)
    shifted = (values - median[:, None, None]).where(valid, torch.zeros_like(values))
    deviation = shifted.abs().sum((1, 2)) / valid.sum((1, 2)).clamp(min=1)
    # A map that does not vary stays 0 instead of being divided by 0.
    return shifted / deviation.clamp(min=1e-6)[:, None, None]


def residuals(prediction: Tensor, truth: Tensor, valid: Tensor, align: Alignment) -> Tensor:
    """Return what separates two maps up to scale and shift, ``[B, H, W]``; 0 where not valid.

    Args:
        prediction, truth: ``[B, H, W]``, float.
        valid: bool ``[B, H, W]``, where the truth was measured.
        align: ``median`` normalizes both maps; ``least_squares`` brings the prediction to the normalized truth, so that
            the loss does not depend on the unit of the truth.
    """
    truth = normalized(truth, valid)
    if align == "median":
        return normalized(prediction, valid) - truth
    scale, shift = scale_and_shift(prediction, truth, valid.to(prediction.dtype))
    aligned = scale[:, None, None] * prediction + shift[:, None, None]
    return (aligned - truth).where(valid, torch.zeros_like(truth))


def data_term(residual: Tensor, valid: Tensor, align: Alignment, trim: float) -> Tensor:
    """Return ``1 / (2 M) sum rho(residual)``, the mean over images of that over their M valid pixels.

    With ``median``, rho is the absolute value, and of each image the share ``trim`` of the pixels with the largest
    residuals is left out of the sum (the paper's ssitrim); with ``least_squares``, it is the square (ssimse).

    Args:
        residual: ``[B, H, W]``.
        valid: bool ``[B, H, W]``.
        align: as in :func:`residuals`.
        trim: share in [0, 1).
    """
    count = valid.sum((1, 2))
    if align == "least_squares":
        values = residual.square().sum((1, 2))
    else:
        # Pixels that are not valid are 0 and come first, so that the largest are counted from the end.
        ordered = residual.abs().flatten(1).sort(1).values
        dropped = (trim * count).floor()
        position = torch.arange(ordered.shape[1], device=ordered.device)
        kept = position[None] < (ordered.shape[1] - dropped)[:, None]
        values = ordered.where(kept, torch.zeros_like(ordered)).sum(1)
    return (values / (2 * count.clamp(min=1))).mean()


def gradient_term(residual: Tensor, valid: Tensor, scales: int) -> Tensor:
    """Return the multi-scale gradient matching of the residual, which keeps edges sharp.

    ``sum_k 1 / M_k sum |d/dx R_k| + |d/dy R_k|``, R_k being every ``2^k``-th pixel; differences count where both of
    their pixels are valid. M_k is the number of valid pixels at that scale, as in the authors' code.

    Args:
        residual: ``[B, H, W]``, 0 where not valid.
        valid: bool ``[B, H, W]``.
        scales: K.
    """
    total = residual.new_zeros(len(residual))
    for k in range(scales):
        step = 2**k
        part, mask = residual[:, ::step, ::step], valid[:, ::step, ::step]
        along_x = (part[:, :, 1:] - part[:, :, :-1]).abs() * (mask[:, :, 1:] & mask[:, :, :-1])
        along_y = (part[:, 1:] - part[:, :-1]).abs() * (mask[:, 1:] & mask[:, :-1])
        differences = along_x.sum((1, 2)) + along_y.sum((1, 2))
        total = total + differences / mask.sum((1, 2)).clamp(min=1)
    return total.mean()
