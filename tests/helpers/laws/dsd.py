"""Laws of ``dsd``, ``dsd.csd`` and ``dsd.psd``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.dsd import CSD, DSD, PSD
from laws import OnLevels, three_levels

MAKE: dict[str, Callable[[], nn.Module]] = {
    "dsd": lambda: OnLevels(DSD(), three_levels),
    "dsd.csd": lambda: CSD(0.5),
    "dsd.psd": lambda: OnLevels(PSD(), three_levels),
}

EXCEPTIONS: dict[str, set[str]] = {
    # Maps of attention have no channels, so the two models may differ in theirs.
    "dsd.psd": {"other_shapes_are_refused"},
}
