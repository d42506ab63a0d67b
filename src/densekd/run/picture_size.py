"""Size of the picture that a model is evaluated at: where latency is measured and graphs are exported."""

import math
from collections.abc import Mapping
from typing import Any

from torchvision.transforms.v2.functional import get_size

from densekd.data.contract import Files
from densekd.data.detection import STRIDE
from densekd.data.maps import Resize, to_model_input
from densekd.data.transforms import limited_size

# Where neither recipe nor data say anything.
_USUAL = (512, 512)


def default_size(
    task: str, evaluation: Mapping[str, Any], resize: Resize | None, files: Files | None
) -> tuple[int, int]:
    """Return the size that a model is evaluated at.

    Args:
        task: of the model.
        evaluation: the options of a recipe's evaluation section.
        resize: what images are brought to before the model.
        files: validation images; None where there are none.
    """
    if task == "detection":
        return _detector_size(resize, files)
    crop = evaluation.get("crop")
    if crop is not None:
        # Sliding windows are all of one size.
        return int(crop[0]), int(crop[1])
    if resize is not None and len(resize) == 2:
        return resize[0], resize[1]
    if files is None:
        return _USUAL if resize is None else (resize[0], resize[0])
    # Images of their own size: the first one stands for all.
    height, width = get_size(to_model_input(files.image(0), resize))
    divisor = int(evaluation.get("divisor", 1))
    return math.ceil(height / divisor) * divisor, math.ceil(width / divisor) * divisor


def _detector_size(limits: Resize | None, files: Files | None) -> tuple[int, int]:
    """Return the size of the first image within the limits, padded as a batch is."""
    size = _USUAL
    if files is not None:
        height, width = files.image(0).shape[:2]
        size = (height, width)
        if limits is not None:
            size = limited_size(size, limits)
    elif limits is not None:
        size = (limits[0], limits[-1])
    return math.ceil(size[0] / STRIDE) * STRIDE, math.ceil(size[1] / STRIDE) * STRIDE
