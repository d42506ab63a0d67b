"""Size of the exported picture: what the recipe evaluates at, and the next one that a model can take."""

import math
from collections.abc import Mapping
from typing import Any

from torchvision.transforms.v2.functional import get_size

from densekd.data.contract import Files
from densekd.data.detection import STRIDE
from densekd.data.maps import Resize, to_model_input
from densekd.data.transforms import limited_size
from densekd.errors import UserError
from densekd.export.modules import ExportModule, build_module, describe_outputs
from densekd.export.spec import GraphInput, GraphOutput
from densekd.models.open import Opened

# Where neither recipe nor data say anything.
_USUAL = (512, 512)
# Multiples that networks ask for.
_MULTIPLES = (2, 4, 8, 14, 16, 32, 64, 128)


def default_size(
    opened: Opened, evaluation: Mapping[str, Any], resize: Resize | None, files: Files | None
) -> tuple[int, int]:
    """Return the size that a model is evaluated at.

    Args:
        opened: the model.
        evaluation: the options of a recipe's evaluation section.
        resize: what images are brought to before the model.
        files: validation images; None where there are none.
    """
    if opened.config.task == "detection":
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


def module_of_size(opened: Opened, kind: str, taken: GraphInput) -> tuple[ExportModule, tuple[GraphOutput, ...]]:
    """Build what is exported, and run it once at its size.

    Args:
        opened: the model.
        kind: name of the output.
        taken: the picture.

    Raises:
        UserError: a size that the model cannot take; the message has the next one that it can.
    """
    task = opened.config.task
    module = build_module(opened.model, task, kind, taken)
    try:
        return module, describe_outputs(module, kind, taken)
    except UserError:
        raise
    except Exception as error:  # networks raise anything at a size that does not fit
        height, width = taken.size
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        other = _next_size(opened, kind, taken)
        advice = "no near size that it can take was found"
        if other is not None:
            advice = f"the next size that it can is --size {other[0]}x{other[1]}"
        raise UserError(f"--size: the model cannot take {height}x{width} ({reason}); {advice}.") from error


def _next_size(opened: Opened, kind: str, taken: GraphInput) -> tuple[int, int] | None:
    """Try the next multiples of both sides, the smallest first."""
    for multiple in _MULTIPLES:
        height, width = (math.ceil(side / multiple) * multiple for side in taken.size)
        bigger = GraphInput((height, width), 1, taken.kind, taken.bands)
        module = build_module(opened.model, opened.config.task, kind, bigger)
        try:
            describe_outputs(module, kind, bigger)
        except Exception:  # this one does not fit either
            continue
        return height, width
    return None
