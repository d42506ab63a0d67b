"""Numbers of the original experiments, typed from their sources and independent of the presets.

A test compares every recipe with them: ``FACTS`` maps a system to what its authors' files say.
"""

from collections.abc import Mapping

from densekd.presets.originals.cirkd import CIRKD, CIRKDV2
from densekd.presets.originals.detection import FGD, LD, MMDETECTION_DISTILLER, MMRAZOR_DETECTION
from densekd.presets.originals.fact import ABSENT, Fact, find_value, numbers_of
from densekd.presets.originals.hwd import HWD
from densekd.presets.originals.segdistill import SEGDISTILL
from densekd.presets.originals.segmentation import MMRAZOR_SEGMENTATION, MMSEGMENTATION_DISTILLER
from densekd.presets.originals.torchdistiller import TORCHDISTILLER

# No trainer of theirs casts to half precision, and no configuration asks for it.
_PRECISION = Fact("mixed precision", "none", "trainers and configurations", "training.precision", 32)
_OF_SYSTEMS: Mapping[str, tuple[Fact, ...]] = {
    "torchdistiller": TORCHDISTILLER,
    "mmrazor": (*MMRAZOR_SEGMENTATION, *MMRAZOR_DETECTION),
    "mmsegmentation-distiller": MMSEGMENTATION_DISTILLER,
    "mmdetection-distiller": MMDETECTION_DISTILLER,
    "cirkd": CIRKD,
    "cirkdv2": CIRKDV2,
    "hwd": HWD,
    "segdistill": SEGDISTILL,
    "fgd": FGD,
    "ld": LD,
}
FACTS: Mapping[str, tuple[Fact, ...]] = {system: (*facts, _PRECISION) for system, facts in _OF_SYSTEMS.items()}
__all__ = ["ABSENT", "FACTS", "Fact", "find_value", "numbers_of"]
