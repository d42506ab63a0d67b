"""Laws of ``dist``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.dist import DIST

MAKE: dict[str, Callable[[], nn.Module]] = {
    "dist": lambda: DIST(),
    "dist T2": lambda: DIST(2.0, 1.0, 2.0),
    "dist raw": lambda: DIST(normalize="none"),
    "dist images": lambda: DIST(rows="images"),
}

EXCEPTIONS: dict[str, set[str]] = {
    # Two images correlate by a product of norms that the 1e-8 beside it is not small against.
    "dist images": {"zero_for_equal_tensors"},
}
