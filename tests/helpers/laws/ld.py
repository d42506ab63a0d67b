"""Laws of ``ld``, ``ld.classes`` and ``ld.features``."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from densekd.losses.ld import LD, LDClasses, LDFeatures
from laws import OnLevels


def heads(x: Tensor) -> tuple[Tensor, ...]:
    """Return classes and distributions of a detector's head: two levels, five bins for each side."""
    coarse = x[:, :, ::2, ::2]
    return x, coarse, *(torch.cat([y.roll(k, 1 + k % 2) for k in range(4)], 1) for y in (x, coarse))


def two_levels(x: Tensor) -> tuple[Tensor, ...]:
    """Return a map and a coarser one."""
    return x, x[:, :, ::2, ::2]


MAKE: dict[str, Callable[[], nn.Module]] = {
    "ld main": lambda: OnLevels(LD(strides=(8, 16)), heads),
    "ld main weights": lambda: OnLevels(LD(1.0, divisor="weights", strides=(8, 16), anchor_scale=4.0), heads),
    "ld valuable": lambda: OnLevels(LD(region="valuable", strides=(8, 16)), heads),
    "ld.classes": lambda: OnLevels(LDClasses(strides=(8, 16), anchor_scale=4.0), two_levels),
    "ld.features": lambda: OnLevels(LDFeatures(strides=(8, 16), anchor_scale=4.0), two_levels),
}

EXCEPTIONS: dict[str, set[str]] = {
    "ld": {
        # Void is where no box is: ``test_ld.py`` moves all positions outside of the region.
        "void_positions_do_not_count",
        # The law's shapes are not those of the distributions: ``test_ld.py`` has them.
        "other_shapes_are_refused",
    },
    # As above: void is where no box is.
    "ld.classes": {"void_positions_do_not_count"},
    "ld.features": {"void_positions_do_not_count"},
    # The weight follows the student without gradient.
    "ld main": {"a_step_against_the_gradient_lowers_it"},
    "ld main weights": {"a_step_against_the_gradient_lowers_it"},
}
