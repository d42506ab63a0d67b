"""Recognize published checkpoints: from keys and shapes to format, architecture and options."""

from collections.abc import Callable, Mapping

from torch import Tensor

from densekd.models.checkpoints import cirkd, mmdet, mmseg, segformer, torchdistiller, upernet
from densekd.models.checkpoints.layout import Recognized

FORMATS: dict[str, Callable[[Mapping[str, Tensor]], Recognized | None]] = {
    "cirkd": cirkd.recognize,
    "cirkd-segformer": segformer.recognize_cirkd,
    "cirkd-upernet": upernet.recognize_cirkd,
    "mmdetection": mmdet.recognize,
    "mmsegmentation": mmseg.recognize,
    "mmsegmentation-segformer": segformer.recognize_mmseg,
    "mmsegmentation-upernet": upernet.recognize_mmseg,
    "nvlabs": segformer.recognize_nvlabs,
    "swin": upernet.recognize_swin,
    "torchdistiller": torchdistiller.recognize,
}


def recognize(state: Mapping[str, Tensor]) -> Recognized | None:
    """Return what a state dict holds, or None where no format knows it.

    What stands before all names, whatever it is, may be left out.
    """
    found = _recognize(state)
    heads = {key.partition(".")[0] for key in state}
    if found is not None or len(heads) != 1:
        return found
    inner = {key.partition(".")[2]: value for key, value in state.items()}
    return None if "" in inner else recognize(inner)


def _recognize(state: Mapping[str, Tensor]) -> Recognized | None:
    for read in FORMATS.values():
        try:
            found = read(state)
        except KeyError:
            # An entry is missing that says how many classes or channels there are.
            continue
        if found is not None:
            return found
    return None
