"""Laws of ``fgd``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.fgd import FGD

ONES = {"foreground_weight": 1.0, "background_weight": 1.0, "attention_weight": 1.0, "relation_weight": 1.0}

MAKE: dict[str, Callable[[], nn.Module]] = {
    "fgd": lambda: FGD(5, 5),
    "fgd T1": lambda: FGD(5, 5, 1.0, **ONES, extent="image"),
}

EXCEPTIONS: dict[str, set[str]] = {
    "fgd": {
        # Background, attention and global relations need no box.
        "void_positions_do_not_count",
        "all_void_costs_nothing",
        # Built for 5 channels.
        "one channel",
    },
}
