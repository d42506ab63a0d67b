"""Load a state dict into a model key by key: in full or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from densekd.errors import UserError
from densekd.models.bands import fitted_to_bands
from densekd.models.checkpoints.file import Checkpoint
from densekd.models.checkpoints.fit import fit
from densekd.models.checkpoints.match import Match, match
from densekd.models.checkpoints.values import load_values

__all__ = ["Match", "load_in_full", "load_matched", "match"]


def load_matched(
    model: nn.Module,
    checkpoint: Checkpoint,
    what: str,
    allowed: Sequence[str] = (),
) -> Match:
    """Load a checkpoint in full, under our names or, where these do not fit, a project's.

    Args:
        model: changed in place, only when everything fits.
        checkpoint: the weights.
        what: what the model is ("teacher"), for the message.
        allowed: patterns (``auxiliary.*``) of our keys that may be missing or left over.

    Returns:
        how they fit, with what people should know of the file.

    Raises:
        UserError: keys that are missing, unexpected or of another shape; all are listed.
    """
    fitted = fit(model, checkpoint, what, allowed)
    loaded = load_in_full(model, fitted.state, allowed, "", name=checkpoint.name)
    return replace(loaded, notes=(*fitted.match.notes, *loaded.notes))


def load_in_full(
    model: nn.Module,
    state: Mapping[str, Tensor],
    allowed: Sequence[str],
    problem: str,
    advice: str = "",
    name: str = "the weights",
) -> Match:
    """Load a state dict when every key fits.

    Args:
        model: changed in place.
        state: under the model's names.
        allowed: patterns of keys that may be missing or left over.
        problem: beginning of the message when keys do not fit.
        advice: its end.
        name: of the file, for messages about its values.

    Returns:
        how they fit; a note where the file has another precision than the model.

    Raises:
        UserError: some keys do not fit, a weight is not finite, or is quantized; nothing was loaded.
    """
    # Filters of three colors fit a first convolution that was widened to other bands.
    state = fitted_to_bands(model, state)
    found = match(model, state, allowed)
    if not found.complete:
        raise UserError(f"{problem}; nothing was loaded.\n{found.describe()}\n{advice}".rstrip())
    loaded = {key: state[key] for key in found.matched}
    return replace(found, notes=load_values(model, loaded, name))
