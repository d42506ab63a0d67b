"""Laws of ``hwd``."""

from collections.abc import Callable

from torch import nn

from densekd.losses.hwd import HWD

MAKE: dict[str, Callable[[], nn.Module]] = {
    "hwd": lambda: HWD(),
    "hwd published": lambda: HWD("mse", "activations", "N", 1.0),
    "hwd l1 SqrtN T": lambda: HWD("l1", pixel_division="SqrtN", process="T", parameter=2.0),
    "hwd smooth_l1 N2": lambda: HWD("smooth_l1", pixel_division="N2", parameter=1.0),
    "hwd kl": lambda: HWD("kl", "activations"),
    "hwd raw E above 1": lambda: HWD(shift=None, parameter=3.0),
    "hwd raw T": lambda: HWD(shift=None, process="T", parameter=50.0),
    "hwd shifted far down": lambda: HWD(shift=-1000.0),
}

EXCEPTIONS: dict[str, set[str]] = {
    "hwd": {
        # The weights follow the student without gradient.
        "a_step_against_the_gradient_lowers_it",
        # Labels do nothing but count the pixels of a class, as published.
        "void_positions_do_not_count",
        "all_void_costs_nothing",
    },
}
