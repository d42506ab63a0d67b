"""Laws of ``l2``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.l2 import L2

MAKE: dict[str, Callable[[], nn.Module]] = {
    "l2": lambda: L2(),
    "l2 element": lambda: L2("sample", 4.0, "element"),
    "l2 raw": lambda: L2("none", reduction="element"),
    "l2 distance": lambda: L2("none", reduction="distance"),
}

EXCEPTIONS: dict[str, set[str]] = {}
