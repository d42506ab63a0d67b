"""COCO's average precision of selections of images, from the matches within each image.

The rows are those of :func:`densekd.tasks.detection.matches.match_rows`.
"""

from typing import NamedTuple

import numpy as np

COLUMNS = 5
_THRESHOLDS = 10
_RECALLS = np.linspace(0.0, 1.0, 101)
_CLASS, _SCORE = 1, 2


class _Found(NamedTuple):
    """The found boxes of a class, by falling score: their images, hits and counted by threshold ``[T, D]``."""

    images: np.ndarray
    hits: np.ndarray
    counted: np.ndarray


def count_images(rows: np.ndarray) -> int:
    """Return how many images the rows are of."""
    return int((rows[:, _CLASS] == -1).sum())


def average_precision(rows: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return AP of selections of images in percent, mean over thresholds and the classes that occur.

    Args:
        rows: ``[R, 5]``.
        times: how often each image is in each selection, ``[S, N]``.

    Returns:
        ``[S]``; 0 where a selection has no box to be found.
    """
    total, classes = np.zeros(len(times)), np.zeros(len(times))
    for c in np.unique(rows[rows[:, _SCORE] == -1, _CLASS]):
        own = rows[rows[:, _CLASS] == c]
        wanted = own[own[:, _SCORE] == -1]
        # How many boxes there are in each selection.
        real = times[:, wanted[:, 0].astype(int)] @ wanted[:, 3]
        found = _found(own[own[:, _SCORE] >= 0])
        for k in np.flatnonzero(real > 0):
            total[k] += _class_precision(found, times[k], float(real[k]))
            classes[k] += 1
    score: np.ndarray = 100 * total / np.maximum(classes, 1)
    return score


def _found(rows: np.ndarray) -> _Found:
    """Sort found boxes as COCO does, and unfold the bits of the thresholds."""
    ranked = rows[np.argsort(-rows[:, _SCORE], kind="mergesort")]
    bits = 1 << np.arange(_THRESHOLDS)[:, None]
    hits = (ranked[:, 3].astype(int)[None] & bits) > 0
    ignored = (ranked[:, 4].astype(int)[None] & bits) > 0
    return _Found(ranked[:, 0].astype(int), hits, ~ignored)


def _class_precision(found: _Found, times: np.ndarray, real: float) -> float:
    """Return the precision of a class, mean over the thresholds and 101 recalls.

    An image that was drawn twice counts its boxes twice; between two copies of a box neither
    recall nor the highest precision beyond it changes, so that a weight does the same. Boxes of equal
    score in one image, whose order means nothing, stand next to their own copies.
    """
    weight = times[found.images]
    present = weight > 0
    if not present.any():
        return 0.0
    weighted = weight[present]
    right = np.cumsum(found.hits[:, present] * weighted, 1)
    counted = np.cumsum(found.counted[:, present] * weighted, 1)
    precision = right / np.maximum(counted, np.spacing(1))
    # The highest precision at this recall or beyond.
    envelope = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]
    total = 0.0
    for reached, highest in zip(right / real, envelope, strict=True):
        first = np.searchsorted(reached, _RECALLS, side="left")
        inside = first < len(reached)
        total += float(highest[first[inside]].sum())
    return total / (_THRESHOLDS * len(_RECALLS))
