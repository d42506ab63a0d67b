"""Laws of ``wsld``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.wsld import WSLD

VOID = 255

MAKE: dict[str, Callable[[], nn.Module]] = {
    "wsld": lambda: WSLD(VOID),
}

EXCEPTIONS: dict[str, set[str]] = {
    "wsld": {
        # A cross-entropy holds the teacher's entropy.
        "zero_for_equal_tensors",
        # Its weight follows the student without gradient.
        "a_step_against_the_gradient_lowers_it",
    },
}
