"""Student's t: how far the mean of a few seeds may be from the true one."""

import math
from collections.abc import Sequence
from statistics import stdev

# Quantiles 0.975 by degrees of freedom, from 1 on; beyond them the last one is a little too wide.
QUANTILES = (
    12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281,
    2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860,
    2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423,
)  # fmt: skip


def half_width(values: Sequence[float]) -> float | None:
    """Return half of Student's 95 % interval of a mean: t s / sqrt(n); None for one value.

    Args:
        values: one for each seed.
    """
    if len(values) < 2:
        return None
    degrees = len(values) - 1
    quantile = QUANTILES[min(degrees, len(QUANTILES)) - 1]
    return quantile * stdev(values) / math.sqrt(len(values))
