"""Presets: recipes of every experiment of the reference systems, made from one table a system.

``densekd recipes`` lists them, ``densekd train NAME`` trains one, ``docs/presets.md`` compares every
number with the original's.
"""

from collections.abc import Mapping

from densekd.presets import cirkd, hwd, mmdet, mmseg, segdistill, torchdistiller
from densekd.presets.preset import Preset

_SYSTEMS = (torchdistiller, mmseg, cirkd, hwd, segdistill, mmdet)


def _collect() -> dict[str, Preset]:
    presets: dict[str, Preset] = {}
    for system in _SYSTEMS:
        for preset in system.presets():
            if preset.name in presets:
                raise ValueError(f"two presets are called {preset.name}")
            presets[preset.name] = preset
    return presets


PRESETS: Mapping[str, Preset] = _collect()
__all__ = ["PRESETS", "Preset"]
