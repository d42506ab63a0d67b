"""Laws of ``dkd``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.dkd import DKD

VOID = 255

MAKE: dict[str, Callable[[], nn.Module]] = {
    "dkd": lambda: DKD(VOID),
    "dkd T4": lambda: DKD(VOID, 4.0, 1.0, 8.0),
    "dkd sum": lambda: DKD(VOID, reduction="sum"),
}

EXCEPTIONS: dict[str, set[str]] = {}
