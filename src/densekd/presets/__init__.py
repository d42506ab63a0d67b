"""Original experiments by name: ``PRESETS`` maps a name to a whole recipe with its source and what differs.

A system is one file that makes its presets from a small table of pairs, methods and data.
"""

from densekd.presets.cirkd import cirkd
from densekd.presets.cirkdv2 import cirkdv2
from densekd.presets.detection import fgd, ld, mmdetection_distiller, mmrazor_detection
from densekd.presets.hwd import HWD_ALIASES, hwd
from densekd.presets.mmsegmentation import mmrazor_segmentation, mmsegmentation_distiller
from densekd.presets.preset import Preset
from densekd.presets.segdistill import SEGDISTILL_ALIASES, segdistill
from densekd.presets.torchdistiller import torchdistiller

__all__ = ["ALIASES", "PRESETS", "Preset"]

_SYSTEMS = (
    torchdistiller,
    mmsegmentation_distiller,
    mmdetection_distiller,
    mmrazor_segmentation,
    mmrazor_detection,
    segdistill,
    cirkd,
    cirkdv2,
    hwd,
    fgd,
    ld,
)


def _presets() -> dict[str, Preset]:
    found: dict[str, Preset] = {}
    for system in _SYSTEMS:
        for preset in system():
            if preset.name in found:
                raise ValueError(f"two presets are called {preset.name}")
            found[preset.name] = preset
    return found


PRESETS: dict[str, Preset] = _presets()
# Second names, each with the preset that it means.
ALIASES: dict[str, str] = {
    "gfl-r101-r50-ld-alone": "gfl-r101-r50-ld",
    **SEGDISTILL_ALIASES,
    **HWD_ALIASES,
}
