"""Means, intervals and paired differences over seeds and images.

Two trainings of one seed see the same images in the same order, and both are scored on the same
validation images: what they share cancels in the difference of a pair, so that a difference can be
certain where the two means are not.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from densekd.run.image_headline import headline, image_count
from densekd.students_t import half_width

DRAWS = 2000

Basis = Literal["seeds and images", "images", "seeds", "none"]


class Interval(NamedTuple):
    """A value with its 95 % interval.

    Args:
        value: the mean.
        low, high: ends; None where nothing tells how far to trust it.
        basis: over what it was taken.
        seeds: how many.
    """

    value: float
    low: float | None
    high: float | None
    basis: Basis
    seeds: int

    @property
    def certain(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def over_seeds(values: Sequence[float]) -> Interval:
    """Return the mean of one value for each seed, with Student's interval; of one seed without any.

    Args:
        values: at least one.
    """
    mean = float(np.mean(values))
    half = half_width(values)
    if half is None:
        return Interval(mean, None, None, "none", 1)
    return Interval(mean, mean - half, mean + half, "seeds", len(values))


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Interval:
    """Return the mean difference of two methods, paired by seed, with Student's interval.

    Args:
        ours, theirs: a score for each seed, in the same order of seeds.
    """
    return over_seeds([one - other for one, other in zip(ours, theirs, strict=True)])


def paired_by_image(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], draws: int = DRAWS) -> Interval:
    """Return the difference of the headline of two methods, paired by seed and by image.

    Bootstrap: each draw takes seeds with replacement and images with replacement, the same for
    both methods, and computes both scores anew from the summed counts of the images drawn. The
    interval is that of the draws' 2.5th and 97.5th percentiles.

    Args:
        ours, theirs: for each seed, in the same order, what is known of each image: ``[N, 3, C]``
            counts, of which the headline is the mIoU, ``[N, 4]`` scores, of which it is the mean
            of the first over the images whose last is 1, or ``[R, 5]`` matches, of which it is AP.
        draws: how many.

    Returns:
        in the headline's unit; mIoU and AP in percent.
    """
    generator = np.random.default_rng(0)
    seeds, images = len(ours), image_count(ours[0])
    everything = np.ones((1, images))
    value = float(np.mean(_differences(ours, theirs, everything)))
    # How often each image was drawn: sums over the images drawn become one matrix product.
    times = generator.multinomial(images, np.full(images, 1 / images), draws).astype(float)
    differences = _differences(ours, theirs, times)
    # Which seeds a draw has is drawn apart; of one seed there is no choice.
    chosen = generator.integers(seeds, size=(draws, seeds))
    drawn = np.take_along_axis(differences.T, chosen, 1).mean(1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value, float(low), float(high), "images" if seeds == 1 else "seeds and images", seeds)


def _differences(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray], times: np.ndarray) -> np.ndarray:
    """Return the difference of the headlines for each seed and each selection of images, ``[seeds, D]``."""
    pairs = zip(ours, theirs, strict=True)
    return np.stack([headline(one, times) - headline(other, times) for one, other in pairs])
