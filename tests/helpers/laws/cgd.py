"""Laws of ``cgd``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.cgd import CGD

MAKE: dict[str, Callable[[], nn.Module]] = {
    "cgd": lambda: CGD(),
    "cgd one": lambda: CGD(4.0, group_size=1),
    "cgd padded": lambda: CGD(2.0, group_size=2, scale="none"),
    "cgd counting": lambda: CGD(2.0, group_size=2, shuffle_interval=1000),
    "cgd pixel": lambda: CGD(1.0, "pixel"),
    "cgd none": lambda: CGD(1.0, "none"),
}

EXCEPTIONS: dict[str, set[str]] = {}
