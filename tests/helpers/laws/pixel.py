"""Laws of ``pixel``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.pixel import Pixel

VOID = 255

MAKE: dict[str, Callable[[], nn.Module]] = {
    "pixel": lambda: Pixel(VOID, 4.0),
    "pixel element": lambda: Pixel(VOID, 1.0, "element", "none"),
    "pixel batch": lambda: Pixel(VOID, 2.0, "batch"),
    "pixel sum": lambda: Pixel(VOID, 2.0, "sum"),
    "pixel masked": lambda: Pixel(VOID, 1.0, void="masked"),
    "pixel soft_ce": lambda: Pixel(VOID, 2.0, divergence="soft_ce"),
    "pixel soft_ce masked": lambda: Pixel(VOID, void="masked", divergence="soft_ce"),
    "pixel hard_ce": lambda: Pixel(VOID, divergence="hard_ce"),
}

EXCEPTIONS: dict[str, set[str]] = {
    # A cross-entropy holds the teacher's entropy.
    "pixel soft_ce": {"zero_for_equal_tensors"},
    "pixel soft_ce masked": {"zero_for_equal_tensors"},
    # It asks for certainty where the teacher has none.
    "pixel hard_ce": {"zero_for_equal_tensors"},
}
