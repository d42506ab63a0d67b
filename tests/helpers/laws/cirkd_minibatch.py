"""Laws of ``cirkd_minibatch``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.cirkd import CIRKDMiniBatch

MAKE: dict[str, Callable[[], nn.Module]] = {
    "cirkd_minibatch": lambda: CIRKDMiniBatch(),
    "cirkd_minibatch T1": lambda: CIRKDMiniBatch(1.0),
}

EXCEPTIONS: dict[str, set[str]] = {
    # The channels of student and teacher may differ.
    "cirkd_minibatch": {"other_shapes_are_refused"},
}
