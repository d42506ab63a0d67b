"""Laws of ``fitnet``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.fitnet import FitNet

MAKE: dict[str, Callable[[], nn.Module]] = {"fitnet": FitNet}

EXCEPTIONS: dict[str, set[str]] = {}
