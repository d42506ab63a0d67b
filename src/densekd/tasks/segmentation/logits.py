"""Logits as a segmentation model returns them, checked before they are read."""

from torch import Tensor

from densekd.errors import UserError


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
