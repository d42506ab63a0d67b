"""densekd distils big dense-prediction models into small ones that ship.

The public API is short: :func:`load` reads a student package. Everything else has its own room; see
``docs/architecture.md``. Importing this module imports nothing heavy.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from torch import nn

__version__ = "0.1.0"
__all__ = ["__version__", "load"]


def load(
    path: str | Path,
    *,
    model: str | None = None,
    options: "Mapping[str, Any] | None" = None,
    num_classes: int | None = None,
) -> "nn.Module":
    """Open a model from anywhere as a plain module in evaluation mode.

    Args:
        path: a run folder, a student package, a checkpoint of ours or of another project, a URL with a checksum,
            ``owner/name`` on the hub, ``hf:NAME``, or ``package.module:Name``; see
            :func:`densekd.models.open.open_model`.
        model: architecture of a file that does not say it.
        options: its arguments that the file does not say.
        num_classes: C, where neither the file nor its weights tell.

    Returns:
        The model. It takes float RGB in [0, 1], ``[B, 3, H, W]``, and returns logits ``[B, C, h, w]`` at its own
        stride; ``model.align_corners`` says how to enlarge them. Of a detector's output ``model.detect`` makes boxes.

    Raises:
        densekd.errors.UserError: the folder or one of its files is missing, damaged or does not match.
    """
    from densekd.models.open import open_model

    return open_model(path, model=model, options=options, num_classes=num_classes).model
