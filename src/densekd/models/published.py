"""Models from other projects' checkpoints: recognized, built and loaded in full, with no hint from the user."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from densekd.errors import UserError
from densekd.models import MODELS
from densekd.models.checkpoints.layout import Recognized
from densekd.models.checkpoints.load import Match, match, read_state
from densekd.models.checkpoints.recognize import FORMATS, recognize
from densekd.registry import construct


class Published(NamedTuple):
    """A model with the weights of a published file, in evaluation mode; what was found; how its keys matched."""

    model: nn.Module
    found: Recognized
    match: Match


def load_published(path: Path, overrides: Mapping[str, Any] | None = None, allowed: Sequence[str] = ()) -> Published:
    """Recognise a file, build its model and load it in full.

    Args:
        path: see :func:`densekd.models.checkpoints.load.read_state`.
        overrides: the builder's arguments that the user knows better.
        allowed: patterns of our keys that may be missing or left over.

    Raises:
        UserError: unreadable, not recognized, or short of a full match.
    """
    state = read_state(path)
    found = recognize(state)
    if found is None:
        keys = ", ".join(list(state)[:4])
        raise UserError(
            f"{path}: not recognized; no known format has {len(state)} entries like {keys}. Known are models "
            f"of {', '.join(FORMATS)}. Name the model and its options, or convert the keys."
        )
    model: nn.Module = construct(MODELS[found.model], {**found.options, **(overrides or {})}, {}, str(path))
    matched = match(model, found.state, allowed)
    if not matched.complete:
        raise UserError(
            f"{path} was recognized as {found.model} of {found.format}, but does not fit it; nothing was loaded.\n"
            f"{matched.describe()}"
        )
    model.load_state_dict(found.state, strict=False)
    return Published(model.eval(), found, matched)
