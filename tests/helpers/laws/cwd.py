"""Laws of ``cwd``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.cwd import CWD

MAKE: dict[str, Callable[[], nn.Module]] = {
    "cwd": lambda: CWD(4.0),
    "cwd spatial": lambda: CWD(2.0, "spatial"),
    "cwd channel mse": lambda: CWD(1.0, "channel", "mse"),
    "cwd spatial mse": lambda: CWD(1.0, "spatial", "mse"),
    "cwd channel_mean mse": lambda: CWD(1.0, "channel_mean", "mse"),
    "cwd none mse": lambda: CWD(1.0, "none", "mse"),
}

EXCEPTIONS: dict[str, set[str]] = {}
