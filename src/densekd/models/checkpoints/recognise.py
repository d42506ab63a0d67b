"""From keys and shapes to format, architecture and options."""

from collections.abc import Callable, Mapping

from torch import Tensor

from densekd.errors import UserError
from densekd.models.checkpoints import cirkd, mmseg, torchdistiller
from densekd.models.checkpoints.layout import Found

FORMATS: dict[str, Callable[[Mapping[str, Tensor]], Found | None]] = {
    "cirkd": cirkd.recognise,
    "mmsegmentation": mmseg.recognise,
    "torchdistiller": torchdistiller.recognise,
}


def recognise(state: Mapping[str, Tensor], what: str) -> Found:
    """Say what a state dict holds.

    Args:
        state: as read from a file, without ``module.``.
        what: the file, for the message.

    Raises:
        UserError: no format knows it, or more than one does.
    """
    found = [one for read in FORMATS.values() if (one := read(state)) is not None]
    if len(found) == 1:
        return found[0]
    keys = ", ".join(list(state)[:4])
    said = f"{' and '.join(one.format for one in found)} all claim it" if found else "no known format has such keys"
    raise UserError(
        f"{what}: not recognised, {said} ({len(state)} entries: {keys}, ...). Known: {', '.join(FORMATS)}. "
        "Name the model and its options in the recipe, or convert the file's keys."
    )
