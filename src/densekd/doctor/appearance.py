"""Appearance of classes: the mean color of each class in training and validation, to find exchanged labels."""

from typing import Any

import numpy as np

from densekd.data.contract import subset
from densekd.data.files import SegmentationFiles
from densekd.doctor.case import Case
from densekd.doctor.finding import Finding

# Images of a split that are read, every so many pixels, and pixels of a class that an image counts from.
_IMAGES, _STRIDE, _PIXELS = 32, 4, 6
# Images of a class in each split below which nothing is said.
_FEWEST = 6
# Distances in standard deviations over images: a class that looks other, and one that looks alike.
_OTHER, _ALIKE = 2.0, 1.0
# Least deviation, in gray levels: that of noise and compression.
_NOISE = 4.0


def examine_appearance(case: Case) -> list[Finding]:
    """Look for classes that look in validation as other classes look in training."""
    training: Any = case.built.training.files
    validation: Any = case.built.validation
    both = (training, validation)
    if not all(isinstance(files, SegmentationFiles) and files.labels != "absent" for files in both):
        return []
    learnt, held = _colors(training), _colors(validation)
    names = training.classes.names
    known = [c for c in range(len(names)) if min(len(learnt[c]), len(held[c])) >= _FEWEST]
    moved: dict[int, int] = {}
    for own in known:
        distances = {other: _distance(learnt[other], held[own]) for other in known}
        nearest = min(distances, key=distances.__getitem__, default=own)
        if distances[own] > _OTHER and distances[nearest] < _ALIKE:
            moved[own] = nearest
    # One class alone may look other at other places; exchanged labels move two or more.
    if len(moved) < 2:
        return []
    said = ", ".join(f"'{names[own]}' as '{names[other]}'" for own, other in list(moved.items())[:5])
    evidence = f"by their mean colors classes look in data.val as others look in data.train: {said}"
    fix = "compare the labels of both splits with data.classes: numbers are exchanged"
    return [Finding("labels-swapped", "warning", evidence, fix, {"classes": float(len(moved))})]


def _colors(files: SegmentationFiles) -> list[np.ndarray]:
    """Return for each class its mean color in each image of a sample that shows it, ``[N, bands]``."""
    part = subset(files, _IMAGES)
    count = len(files.classes.names)
    seen: list[list[np.ndarray]] = [[] for _ in range(count)]
    for index in range(len(part)):
        image, label = part.pair(index)
        image, label = image[::_STRIDE, ::_STRIDE], label[::_STRIDE, ::_STRIDE]
        for c in range(count):
            pixels = image[label == c]
            if len(pixels) >= _PIXELS:
                seen[c].append(pixels.mean(0))
    return [np.array(one) for one in seen]


def _distance(learnt: np.ndarray, held: np.ndarray) -> float:
    """Return how far the mean of one set of colors is from another's, in its deviations over images."""
    deviation = np.maximum(np.maximum(learnt.std(0), held.std(0)), _NOISE)
    return float(np.sqrt((((learnt.mean(0) - held.mean(0)) / deviation) ** 2).mean()))
