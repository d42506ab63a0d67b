"""Laws of ``fbkd``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.fbkd import FBKD

ONES = {"mask_weight": 1.0, "channel_weight": 1.0, "spatial_weight": 1.0, "non_local_weight": 1.0}

MAKE: dict[str, Callable[[], nn.Module]] = {
    "fbkd": lambda: FBKD(5, 5),
    "fbkd no pooling": lambda: FBKD(5, 5, reduction=1, stride=1, **ONES),
}

EXCEPTIONS: dict[str, set[str]] = {
    "fbkd": {
        # Adapters that begin at random carry equal tensors apart.
        "zero_for_equal_tensors",
        # The attention follows the student without gradient.
        "a_step_against_the_gradient_lowers_it",
        # Built for 5 channels.
        "one channel",
    },
}
