"""Laws of ``cirkd_memory``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.cirkd import CIRKDMemory

VOID = 255

MAKE: dict[str, Callable[[], nn.Module]] = {
    "cirkd_memory": lambda: CIRKDMemory(5, 5, 5, VOID, 40, 6),
    "cirkd_memory as_released": lambda: CIRKDMemory(5, 5, 5, VOID, 40, 6, enqueue="as_released"),
}

EXCEPTIONS: dict[str, set[str]] = {
    "cirkd_memory": {
        # The student passes a projection that begins at random.
        "zero_for_equal_tensors",
        # Every call of a training remembers and samples: the next one is another function.
        "a_step_against_the_gradient_lowers_it",
        "unchanged_under_channels_last",
        # Built for 5 channels: another number is refused with what it is made for.
        "one channel",
        "other_shapes_are_refused",
    },
}
