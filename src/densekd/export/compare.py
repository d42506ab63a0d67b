"""Numbers of an engine beside those of torch: the largest difference, and the share of equal labels."""

from dataclasses import dataclass

import numpy as np

from densekd.export.runner import as_float64


@dataclass(frozen=True)
class Difference:
    """How far an engine is from torch.

    Args:
        largest: difference, relative to the largest output of its array; of labels: by how much the
            logit of the engine's class lies below the largest, relative to the largest logit. Not
            finite where a value is not, or where shapes differ.
        equal_labels: share of positions at which both have the same class; None where there are no
            classes to compare.
    """

    largest: float
    equal_labels: float | None = None

    def worst(self, other: "Difference") -> "Difference":
        """Return the worse of both numbers."""
        shares = [share for share in (self.equal_labels, other.equal_labels) if share is not None]
        return Difference(max(self.largest, other.largest), min(shares, default=None))


def compare_arrays(found: list[np.ndarray], wanted: list[np.ndarray]) -> Difference:
    """Compare arrays of numbers.

    Args:
        found: the engine's.
        wanted: torch's.
    """
    if len(found) != len(wanted):
        return Difference(float("inf"))
    largest = 0.0
    for one, other in zip(found, wanted, strict=True):
        largest = max(largest, _relative(one, other))
    return Difference(largest)


def compare_maps(found: np.ndarray, wanted: np.ndarray) -> Difference:
    """Compare maps of logits or scores ``[B, C, h, w]``, also by the class that they mean."""
    largest = _relative(found, wanted)
    if not np.isfinite(largest):
        return Difference(largest, 0.0)
    equal = np.mean(found.argmax(1) == wanted.argmax(1))
    return Difference(largest, float(equal))


def compare_labels(found: np.ndarray, wanted: np.ndarray, logits: np.ndarray) -> Difference:
    """Compare labels ``[B, H, W]``: another class is as far away as its logit lies below the largest.

    Args:
        found: the engine's.
        wanted: torch's.
        logits: torch's, ``[B, C, H, W]``.
    """
    if found.shape != wanted.shape or found.max(initial=0) >= logits.shape[1]:
        return Difference(float("inf"), 0.0)
    # Logits of the class that each of both chose.
    ours = np.take_along_axis(logits, wanted[:, None].astype(np.int64), 1)
    theirs = np.take_along_axis(logits, found[:, None].astype(np.int64), 1)
    largest = float(np.max(as_float64(ours) - as_float64(theirs)) / _scale(logits))
    return Difference(largest, float(np.mean(found == wanted)))


def compare_sets(found: list[np.ndarray], wanted: list[np.ndarray]) -> Difference:
    """Compare boxes ``[B, Q, 4]`` and scores ``[B, Q, C]`` of queries, whose order means nothing.

    Networks that choose their queries by score choose them in another order where two scores are
    nearly equal: every query of torch is compared with the nearest of the engine's that is left.
    """
    plain = compare_arrays(found, wanted)
    shapes_fit = len(found) == len(wanted) and all(a.shape == b.shape for a, b in zip(found, wanted, strict=False))
    if not shapes_fit or not np.isfinite(plain.largest):
        return plain
    sorted_found = [_matched(found, wanted, image) for image in range(len(wanted[0]))]
    arranged = [np.stack(parts) for parts in zip(*sorted_found, strict=True)]
    matched = compare_arrays(arranged, wanted)
    return min(plain, matched, key=lambda difference: difference.largest)


def _matched(found: list[np.ndarray], wanted: list[np.ndarray], image: int) -> list[np.ndarray]:
    """Bring the queries of an image into the order of torch's, greedily."""
    # One vector for each query, all arrays in units of their largest value.
    ours = _vectors(wanted, image)
    theirs = _vectors(found, image)
    order = np.zeros(len(ours), np.int64)
    free = np.ones(len(ours), bool)
    for query, vector in enumerate(ours):
        distance = np.abs(theirs - vector).max(1)
        order[query] = np.where(free, distance, np.inf).argmin()
        free[order[query]] = False
    return [x[image][order] for x in found]


def _vectors(arrays: list[np.ndarray], image: int) -> np.ndarray:
    """Return what is said of each query of an image, ``[Q, values]``."""
    parts = []
    for array in arrays:
        parts.append(as_float64(array[image]).reshape(array.shape[1], -1) / _scale(array))
    return np.concatenate(parts, 1)


def _relative(found: np.ndarray, wanted: np.ndarray) -> float:
    if found.shape != wanted.shape or not np.isfinite(as_float64(found)).all():
        return float("inf")
    return float(np.abs(as_float64(found) - as_float64(wanted)).max(initial=0) / _scale(wanted))


def _scale(wanted: np.ndarray) -> float:
    """Return the largest absolute value, or 1 where all are zero."""
    return float(np.abs(as_float64(wanted)).max(initial=0)) or 1.0
