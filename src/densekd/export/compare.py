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
    nearly equal: every query is compared with the nearest one of the other side that is left. A
    suppression between stages may keep more of them on one side: these count as a difference of 1,
    the largest output, so that fp32 is refused and the score decides below it.
    """
    if len(found) != len(wanted) or any(map(_other_kind, found, wanted)):
        return Difference(float("inf"))
    if not all(np.isfinite(as_float64(array)).all() for array in found):
        return Difference(float("inf"))
    images = [_set_difference(_vectors(found, wanted, k), _vectors(wanted, wanted, k)) for k in range(len(wanted[0]))]
    matched = Difference(max(images, default=0.0))
    plain = compare_arrays(found, wanted)
    return min(plain, matched, key=lambda difference: difference.largest)


def _other_kind(found: np.ndarray, wanted: np.ndarray) -> bool:
    """Tell whether two arrays differ in more than the number of queries."""
    return (found.shape[:1], found.shape[2:]) != (wanted.shape[:1], wanted.shape[2:])


def _set_difference(found: np.ndarray, wanted: np.ndarray) -> float:
    """Return the largest difference between the queries ``[Q, values]`` of an image and their partners."""
    fewer, more = sorted((found, wanted), key=len)
    # What one side alone has is as far away as can be.
    largest = 1.0 if len(fewer) < len(more) else 0.0
    # Partners are each other's nearest among those that are left; at least one pair is found in every round.
    distance = np.zeros((len(fewer), len(more)))
    for row, query in enumerate(fewer):
        distance[row] = np.abs(more - query).max(1)
    rows, columns = np.arange(len(fewer)), np.arange(len(more))
    while len(rows):
        left = distance[np.ix_(rows, columns)]
        nearest = left.argmin(1)
        mutual = left.argmin(0)[nearest] == np.arange(len(rows))
        # Equal distances may have no mutual pair: then the nearest of all is one.
        if not mutual.any():
            mutual[left.min(1).argmin()] = True
        largest = max(largest, float(left.min(1)[mutual].max()))
        rows, columns = rows[~mutual], np.delete(columns, nearest[mutual])
    return largest


def _vectors(arrays: list[np.ndarray], wanted: list[np.ndarray], image: int) -> np.ndarray:
    """Return what is said of each query of an image in units of torch's largest value, ``[Q, values]``."""
    parts = []
    for array, scaled_by in zip(arrays, wanted, strict=True):
        values = as_float64(array[image]) / _scale(scaled_by)
        parts.append(values.reshape(len(values), int(np.prod(values.shape[1:]))))
    return np.concatenate(parts, 1)


def _relative(found: np.ndarray, wanted: np.ndarray) -> float:
    if found.shape != wanted.shape or not np.isfinite(as_float64(found)).all():
        return float("inf")
    return float(np.abs(as_float64(found) - as_float64(wanted)).max(initial=0) / _scale(wanted))


def _scale(wanted: np.ndarray) -> float:
    """Return the largest absolute value, or 1 where all are zero."""
    return float(np.abs(as_float64(wanted)).max(initial=0)) or 1.0
