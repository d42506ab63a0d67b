"""Headline score of any selection of images, from what is known of each: mIoU, AP, AbsRel; the worst images."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from densekd.data.contract import Files
from densekd.metric_names import MetricName
from densekd.run.image_precision import COLUMNS, average_precision, count_images

_WORST = 5
# Columns of what is known of a depth map: three scores, and whether anything was measured.
_DEPTH_COLUMNS = 4


def worst_images(known: Tensor | None, files: Files, metric: MetricName) -> list[dict[str, Any]]:
    """Return the five images that score worst, each by itself, the worst first.

    An image without anything to find (all void, no box, nothing measured) has no score.

    Args:
        known: what is known of each image, see :func:`densekd.run.image_scores.write_image_scores`; None, or a
            tensor of another task: nothing is returned.
        files: the images, in their order.
        metric: the headline.

    Returns:
        for each image its place (``image``) and its score under the metric's key.
    """
    if known is None:
        return []
    found = [(score, place) for place, score in enumerate(_each(known.cpu().numpy())) if score is not None]
    found.sort(reverse=metric.better == "lower")
    return [{"image": str(files.items[place].image), metric.key: score} for score, place in found[:_WORST]]


def _each(parts: np.ndarray) -> Iterator[float | None]:
    """Yield the headline of each image alone; None where there is nothing to find."""
    once = np.ones((1, 1))
    if parts.ndim == 3 and parts.shape[1] == 3:
        for one in parts:
            yield float(headline(one[None], once)[0]) if one[1].any() else None
    elif parts.ndim == 2 and parts.shape[1] == _DEPTH_COLUMNS:
        for one in parts:
            yield float(one[0]) if one[-1] else None
    elif parts.ndim == 2 and parts.shape[1] == COLUMNS:
        # Rows of one image stand together; alone, it is image 0.
        starts = np.flatnonzero(np.diff(parts[:, 0])) + 1
        for rows in np.split(parts, starts):
            wanted = bool((rows[:, 2] == -1).any())
            alone = np.concatenate([np.zeros((len(rows), 1)), rows[:, 1:]], 1)
            yield float(average_precision(alone, once)[0]) if wanted else None


def image_count(parts: np.ndarray) -> int:
    """Return how many images something is known of."""
    if parts.ndim == 2 and parts.shape[1] == COLUMNS:
        return count_images(parts)
    return len(parts)


def headline(parts: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Return the headline of selections of images.

    Args:
        parts: ``[N, 3, C]`` counts, of which the headline is the mIoU, ``[N, 4]`` scores, of which it is the mean of
            the first over the images whose last is 1, or ``[R, 5]`` matches, of which it is AP.
        times: how often each image is in each selection, ``[D, N]``.

    Returns:
        ``[D]``; mIoU in percent over the classes that occur, or the mean over images.
    """
    if parts.ndim == 2 and parts.shape[1] == COLUMNS:
        return average_precision(parts, times)
    if parts.ndim == 2:
        measured = parts[:, -1]
        mean: np.ndarray = (times @ (parts[:, 0] * measured)) / np.maximum(times @ measured, 1)
        return mean
    count, _, classes = parts.shape
    summed = (times @ parts.reshape(count, -1).astype(float)).reshape(len(times), 3, classes)
    hits, labelled, predicted = summed[:, 0], summed[:, 1], summed[:, 2]
    union = labelled + predicted - hits
    occurs = union > 0
    iou = np.divide(hits, union, out=np.zeros_like(hits), where=occurs)
    score: np.ndarray = 100 * iou.sum(1) / np.maximum(occurs.sum(1), 1)
    return score
