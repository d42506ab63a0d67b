"""Size of the exported picture: whether a model can take it, and the next one that it can."""

import math

from densekd.errors import UserError
from densekd.export.modules import ExportModule, build_module, describe_outputs
from densekd.export.spec import GraphInput, GraphOutput
from densekd.models.open import Opened

# Multiples that networks ask for.
_MULTIPLES = (2, 4, 8, 14, 16, 32, 64, 128)


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
