"""Instances of CIRKD's losses for the laws every loss obeys."""

from collections.abc import Callable

from torch import nn

from densekd.losses.cirkd.channel import CIRKDChannel
from densekd.losses.cirkd.memory import CIRKDMemory
from densekd.losses.cirkd.minibatch import CIRKDMiniBatch

VOID = 255

# One instance per behavior; the key starts with the name in LOSSES.
MAKE: dict[str, Callable[[], nn.Module]] = {
    "cirkd_minibatch": lambda: CIRKDMiniBatch(),
    "cirkd_minibatch T1": lambda: CIRKDMiniBatch(1.0),
    "cirkd_memory": lambda: CIRKDMemory(5, 5, 5, VOID, 40, 6),
    "cirkd_memory as_released": lambda: CIRKDMemory(5, 5, 5, VOID, 40, 6, enqueue="as_released"),
    "cirkd_channel": lambda: CIRKDChannel(5, 5, (6, 7), 40, 16),
}

_WITH_MEMORY = {
    # The student passes a projection that begins at random.
    "zero_for_equal_tensors",
    # Every call of a training remembers and draws: the next one is another function. In evaluation mode it is the same.
    "a_step_against_the_gradient_lowers_it",
    "unchanged_under_channels_last",
    # Built for 5 channels: another number is refused with what it is made for.
    "one channel",
    "other_shapes_are_refused",
}

# Name in LOSSES -> laws that do not hold: the test's name without test_, or the id of an extreme.
EXCEPTIONS: dict[str, set[str]] = {
    # The channels of student and teacher may differ.
    "cirkd_minibatch": {"other_shapes_are_refused"},
    "cirkd_memory": _WITH_MEMORY,
    # The queue is made for one size of map.
    "cirkd_channel": _WITH_MEMORY | {"one position"},
}
