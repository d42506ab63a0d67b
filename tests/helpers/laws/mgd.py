"""Laws of ``mgd``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.mgd import MGD

MAKE: dict[str, Callable[[], nn.Module]] = {
    # Nothing is masked: the same number at every call.
    "mgd": lambda: MGD(5, 5, masked=0.0),
}

EXCEPTIONS: dict[str, set[str]] = {
    "mgd": {
        # A generator that begins at random carries equal tensors apart.
        "zero_for_equal_tensors",
        # Built for 5 channels.
        "one channel",
    },
}
