"""Laws of ``l1``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.l1 import L1

MAKE: dict[str, Callable[[], nn.Module]] = {
    "l1": lambda: L1(),
    "l1 sum": lambda: L1("sum"),
}

EXCEPTIONS: dict[str, set[str]] = {}
