"""Laws of ``pairwise``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.pairwise import Pairwise

MAKE: dict[str, Callable[[], nn.Module]] = {
    "pairwise": Pairwise,
    "pairwise positions": lambda: Pairwise(1),
    "pairwise coarse": lambda: Pairwise(4),
}

EXCEPTIONS: dict[str, set[str]] = {
    # Similarities have no channels, so the two models may differ in theirs.
    "pairwise": {"other_shapes_are_refused"},
}
