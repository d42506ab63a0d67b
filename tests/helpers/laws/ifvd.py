"""Laws of ``ifvd``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.ifvd import IFVD

VOID = 255

MAKE: dict[str, Callable[[], nn.Module]] = {
    "ifvd": lambda: IFVD(5, VOID),
    "ifvd labelled": lambda: IFVD(5, VOID, "labelled"),
}

EXCEPTIONS: dict[str, set[str]] = {
    # Similarities have no channels, so the two models may differ in theirs.
    "ifvd": {"other_shapes_are_refused"},
}
