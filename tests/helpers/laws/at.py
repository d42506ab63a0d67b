"""Laws of ``at``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.at import AT

MAKE: dict[str, Callable[[], nn.Module]] = {
    "at": AT,
    "at mean": lambda: AT("mean"),
}

EXCEPTIONS: dict[str, set[str]] = {
    # Maps of attention have no channels, so the two models may differ in theirs.
    "at": {"other_shapes_are_refused"},
}
