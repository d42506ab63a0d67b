"""From keys and shapes to format, architecture and options."""

from collections.abc import Callable, Mapping

from torch import Tensor

from densekd.models.checkpoints import cirkd, mmdet, mmseg, segformer, torchdistiller, upernet
from densekd.models.checkpoints.layout import Found

FORMATS: dict[str, Callable[[Mapping[str, Tensor]], Found | None]] = {
    "cirkd": cirkd.recognise,
    "cirkd-segformer": segformer.recognise_cirkd,
    "cirkd-upernet": upernet.recognise_cirkd,
    "mmdetection": mmdet.recognise,
    "mmsegmentation": mmseg.recognise,
    "mmsegmentation-segformer": segformer.recognise_mmseg,
    "mmsegmentation-upernet": upernet.recognise_mmseg,
    "nvlabs": segformer.recognise_nvlabs,
    "swin": upernet.recognise_swin,
    "torchdistiller": torchdistiller.recognise,
}


def recognise(state: Mapping[str, Tensor]) -> Found | None:
    """Say what a state dict holds, or None where no format knows it."""
    return next((found for read in FORMATS.values() if (found := read(state)) is not None), None)
