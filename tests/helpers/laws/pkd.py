"""Laws of ``pkd``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.pkd import PKD

MAKE: dict[str, Callable[[], nn.Module]] = {
    "pkd": lambda: PKD(),
    "pkd teacher": lambda: PKD("teacher"),
}

EXCEPTIONS: dict[str, set[str]] = {
    # It resizes.
    "pkd": {"other_shapes_are_refused"},
}
