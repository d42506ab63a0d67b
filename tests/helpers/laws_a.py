"""Instances of cgd, hwd and the newer behaviors of pixel for the laws every loss obeys."""

from collections.abc import Callable

from torch import nn

from densekd.losses.cgd import CGD
from densekd.losses.hwd import HWD
from densekd.losses.pixel import Pixel

VOID = 255

# One instance per behavior; the key starts with the name in LOSSES.
MAKE: dict[str, Callable[[], nn.Module]] = {
    "cgd": lambda: CGD(),
    "cgd one": lambda: CGD(4.0, group_size=1),
    "cgd padded": lambda: CGD(2.0, group_size=2, scale="none"),
    "cgd counting": lambda: CGD(2.0, group_size=2, shuffle_interval=1000),
    "cgd pixel": lambda: CGD(1.0, "pixel"),
    "cgd none": lambda: CGD(1.0, "none"),
    "hwd": lambda: HWD(),
    "hwd published": lambda: HWD("mse", "activations", "N", 1.0),
    "hwd l1 SqrtN T": lambda: HWD("l1", pixel_division="SqrtN", process="T", parameter=2.0),
    "hwd smooth_l1 N2": lambda: HWD("smooth_l1", pixel_division="N2", parameter=1.0),
    "hwd kl": lambda: HWD("kl", "activations"),
    "hwd raw E above 1": lambda: HWD(shift=None, parameter=3.0),
    "hwd raw T": lambda: HWD(shift=None, process="T", parameter=50.0),
    "hwd shifted far down": lambda: HWD(shift=-1000.0),
    "pixel soft_ce": lambda: Pixel(VOID, 2.0, divergence="soft_ce"),
    "pixel soft_ce masked": lambda: Pixel(VOID, void="masked", divergence="soft_ce"),
    "pixel hard_ce": lambda: Pixel(VOID, divergence="hard_ce"),
}

# Key in MAKE or name in LOSSES -> laws that do not hold: the test's name without test_, or the id of an extreme.
EXCEPTIONS: dict[str, set[str]] = {
    # The weights follow the student without gradient. Labels do nothing but count the pixels of a class, as published.
    "hwd": {"a_step_against_the_gradient_lowers_it", "void_positions_do_not_count", "all_void_costs_nothing"},
    # A cross-entropy holds the teacher's entropy.
    "pixel soft_ce": {"zero_when_equal"},
    "pixel soft_ce masked": {"zero_when_equal"},
    # It asks for certainty where the teacher has none.
    "pixel hard_ce": {"zero_when_equal"},
}
