"""Order of classes by a confusion matrix: which output means which class, and what that would gain."""

from collections.abc import Sequence
from typing import Any

import numpy as np


def confusion(scored: Sequence[Any]) -> list[np.ndarray]:
    """Return the confusion matrices ``[C, C]`` of scores, rows labels, columns predictions."""
    return [np.asarray(one["confusion"], dtype=np.float64) for one in scored]


def total(counts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the sum of confusion matrices."""
    result: np.ndarray = np.sum(np.stack(counts), axis=0)
    return result


def constant_guess(counts: np.ndarray) -> float:
    """Return the mIoU in percent of predicting the most frequent class everywhere.

    Its IoU is its frequency, that of every other class 0.
    """
    pixels = counts.sum(1)
    if not pixels.sum():
        return 0.0
    return float(100 * pixels.max() / pixels.sum() / np.count_nonzero(pixels))


def best_order(counts: np.ndarray) -> list[int]:
    """Assign to each class the output whose IoU with it is highest, the best pairs first.

    Args:
        counts: pixels ``[C, C]``, rows labels, columns predictions.
    """
    union = counts.sum(1, keepdims=True) + counts.sum(0, keepdims=True) - counts
    iou = counts / np.maximum(union, 1)
    order = [-1] * len(counts)
    taken: set[int] = set()
    # Greedy: what has no overlap with anything is left for the end.
    for place in np.argsort(-iou, axis=None, kind="stable"):
        row, column = divmod(int(place), len(counts))
        if iou[row, column] > 0 and order[row] < 0 and column not in taken:
            order[row] = column
            taken.add(column)
    # Classes without any hit keep their own output where it is free.
    free = [c for c in range(len(counts)) if c not in taken]
    for row, column in enumerate(order):
        if column >= 0:
            continue
        order[row] = row if row in free else free[0]
        free.remove(order[row])
    return order


def miou(counts: np.ndarray) -> float:
    """Return the mean IoU in percent over the classes that occur."""
    there = counts.sum(1) > 0
    union = counts.sum(1) + counts.sum(0) - np.diag(counts)
    return float(100 * (np.diag(counts)[there] / union[there]).mean())
