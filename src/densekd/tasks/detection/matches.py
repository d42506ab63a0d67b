"""Matches of every image: rows from which COCO's average precision of any selection of images follows.

A match is decided within its image, so that images can be drawn anew without a model or a box.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

# 0.5, 0.55 ... 0.95, as COCO spells them.
THRESHOLDS = np.linspace(0.5, 0.95, 10)
# How many boxes of a class count in an image.
_MOST = 100
# Columns of a row.
_COLUMNS = 5


def match_rows(images: Mapping[int, tuple[Any, Any]], num_classes: int) -> Tensor:
    """Return what is known of each image as rows of (image, class, score, hits, ignored).

    Three kinds of rows: an image has one of class -1; boxes to be found have one for each class with
    score -1, ``hits`` their number; a found box has its score, ``hits`` and ``ignored`` are sums of
    2^t over the thresholds t at which it hits, or counts for nothing (it lies in a crowd).

    Args:
        images: by number, truth (corners, labels, crowds, areas) and found (corners, scores, labels),
            see :class:`densekd.tasks.detection.metric.BoxMetric`; counted from 0 in their order.
        num_classes: C.

    Returns:
        ``[R, 5]`` in float32.
    """
    rows: list[list[float]] = []
    for place, (truth, found) in enumerate(images.values()):
        rows.append([place, -1, 0, 0, 0])
        corners, labels, crowds, _ = truth
        boxes, scores, classes = found
        for c in range(num_classes):
            real, ours = labels == c, classes == c
            # Crowds are nothing that has to be found.
            wanted = int((real & ~crowds.astype(bool)).sum())
            if wanted:
                rows.append([place, c, -1, wanted, 0])
            if not ours.any():
                continue
            order = np.argsort(-scores[ours], kind="mergesort")[:_MOST]
            mine = boxes[ours][order]
            hits, ignored = _match(mine, corners[real], crowds[real].astype(bool))
            for score, hit, none in zip(scores[ours][order], hits, ignored, strict=True):
                rows.append([place, c, float(score), int(hit), int(none)])
    return torch.tensor(rows, dtype=torch.float32).reshape(-1, _COLUMNS)


def _match(found: np.ndarray, truth: np.ndarray, crowds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Match the found boxes of a class in an image with its true ones, the most certain first.

    Args:
        found: ``[D, 4]``, by falling score.
        truth: ``[G, 4]``.
        crowds: ``[G]``.

    Returns:
        for each found box, sums of 2^t over the thresholds at which it hits, and at which it is ignored.
    """
    # A crowd is taken where no single box is left, so crowds come last.
    order = np.argsort(crowds, kind="mergesort")
    truth, crowds = truth[order], crowds[order]
    overlaps = _overlaps(found.astype(float), truth.astype(float), crowds)
    inverted = (found[:, 2:] - found[:, :2]).prod(1) < 0
    T, D, G = len(THRESHOLDS), len(found), len(truth)
    taken = np.zeros((T, G), dtype=bool)
    hits, ignored = np.zeros(D, dtype=int), np.zeros(D, dtype=int)
    for d in range(D):
        for t, threshold in enumerate(THRESHOLDS):
            free = (overlaps[d] >= min(threshold, 1 - 1e-10)) & (~taken[t] | crowds)
            single = free & ~crowds
            candidates = single if single.any() else free
            if not candidates.any():
                # To COCO a box of negative area is of no size that is scored.
                ignored[d] += int(inverted[d]) << t
                continue
            # Of equal overlaps COCO takes the last.
            masked = np.where(candidates, overlaps[d], -1.0)
            best = G - 1 - int(masked[::-1].argmax())
            taken[t, best] = True
            if crowds[best]:
                ignored[d] += 1 << t
            else:
                hits[d] += 1 << t
    return hits, ignored


def _overlaps(found: np.ndarray, truth: np.ndarray, crowds: np.ndarray) -> np.ndarray:
    """Return IoU ``[D, G]``; with a crowd, the share of the found box that lies in it."""
    corner = np.maximum(found[:, None, :2], truth[None, :, :2])
    other = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    common = np.clip(other - corner, 0, None).prod(2)
    area = (found[:, 2:] - found[:, :2]).prod(1)[:, None]
    whole = area + (truth[:, 2:] - truth[:, :2]).prod(1)[None] - common
    divisor = np.where(crowds[None], area, whole)
    shares: np.ndarray = np.divide(common, divisor, out=np.zeros_like(common), where=divisor > 0)
    return shares
