"""Logits as a segmentation model returns them: checked, and enlarged the way the model was trained."""

import torch
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models import contract
from densekd.ops.interpolation import resize
from densekd.ops.precision import to_float32


def checked_logits(output: object, num_classes: int) -> Tensor:
    """Return a model's output, which must be logits of C classes.

    Args:
        output: ``[B, C, h, w]``.
        num_classes: C.

    Raises:
        UserError: a model without head, or of another number of classes.
    """
    if not isinstance(output, Tensor):
        raise UserError(f"The model returns a {type(output).__name__}, not logits: it has no head to score.")
    if output.shape[1] != num_classes:
        raise UserError(
            f"The model's logits are {list(output.shape)}, so it tells {output.shape[1]} classes apart, "
            f"but the data has {num_classes}. Give a model of {num_classes} classes."
        )
    return output


def align_corners(model: nn.Module) -> bool:
    """Return how a model's logits are resized; False for models that do not say."""
    return contract.align_corners(model)


def upsample(model: nn.Module, logits: Tensor, size: torch.Size) -> Tensor:
    """Resize logits bilinearly to ``size`` in at least float32; ``align_corners`` is the model's, else False."""
    return resize(to_float32(logits), size, align_corners(model))
