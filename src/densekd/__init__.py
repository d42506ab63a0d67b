"""densekd distils big dense-prediction models into small ones that ship.

The public API is short: :func:`load` reads a student package. Everything else has its own room; see
``docs/architecture.md``. Importing this module imports nothing heavy.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from densekd import own_modules

if TYPE_CHECKING:
    from torch import nn

__version__ = "0.1.0"
__all__ = ["__version__", "load"]

# A spawned worker process unpickles classes of the user's modules, and imports this package first.
own_modules.restore()


def load(path: str | Path) -> "nn.Module":
    """Read a student package (``config.json`` + ``model.safetensors``) as a plain module in evaluation mode.

    Args:
        path: the package folder, a run folder that holds one in ``student/``, or ``owner/name`` on the hub.

    Returns:
        The model. It takes float RGB in [0, 1], ``[B, 3, H, W]``, and returns logits ``[B, C, h, w]`` at its own
        stride; ``model.align_corners`` says how to enlarge them. Of a detector's output ``model.detect`` makes boxes.

    Raises:
        densekd.errors.UserError: the folder or one of its files is missing, damaged or does not match.
    """
    from densekd.models.package import load_package

    folder = Path(path)
    if not folder.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
        from densekd.models.hub import download

        folder = download(str(path))
    return load_package(folder).model
