"""Laws of ``cirkd_channel``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.cirkd import CIRKDChannel

MAKE: dict[str, Callable[[], nn.Module]] = {
    "cirkd_channel": lambda: CIRKDChannel(5, 5, (6, 7), 40, 16),
}

EXCEPTIONS: dict[str, set[str]] = {
    "cirkd_channel": {
        # The student passes a projection that begins at random.
        "zero_for_equal_tensors",
        # Every call of a training remembers and samples: the next one is another function.
        "a_step_against_the_gradient_lowers_it",
        "unchanged_under_channels_last",
        # Built for 5 channels and one size of map; others are refused with what it is made for.
        "one channel",
        "one position",
        "other_shapes_are_refused",
    },
}
