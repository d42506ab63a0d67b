"""Labels of both splits: classes that training never shows, void, frequencies that disagree."""

from typing import Any

import numpy as np

from densekd.data.contract import subset
from densekd.data.files import SegmentationFiles
from densekd.doctor.case import Case
from densekd.doctor.finding import Finding

# Labels of a split that are read.
_MOST = 200
# Share of void pixels that is remarked on.
_VOID = 0.5
# Total variation between the class frequencies of the splits, and the least images that tell.
_DISAGREE, _FEWEST = 0.4, 8


def examine_labels(case: Case) -> list[Finding]:
    """Count the pixels of each class in both splits of a segmentation, and compare them."""
    training: Any = case.built.training.files
    validation: Any = case.built.validation
    both = (training, validation)
    # Boxes and depth have no pixels of classes.
    if not all(isinstance(files, SegmentationFiles) and files.labels != "absent" for files in both):
        return []
    (train, train_images), (val, val_images) = _pixels(training), _pixels(validation)
    names = training.classes.names
    found = [*_void(train, "data.train"), *_void(val, "data.val")]
    # A class is missing only where every training label was read.
    if train_images == len(training):
        found += _never_learnt(names, train[:-1], val[:-1])
    if min(train_images, val_images) >= _FEWEST:
        found += _disagreement(names, train[:-1], val[:-1])
    return found


def _pixels(files: SegmentationFiles) -> tuple[np.ndarray, int]:
    """Count the pixels of each class, void last, in a sample of a split; return how many labels were read."""
    part = subset(files, _MOST)
    count = np.zeros(len(files.classes.names) + 1, np.int64)
    for index in range(len(part)):
        values = np.bincount(part.label(index).ravel(), minlength=256)
        count += values[[*range(len(count) - 1), files.classes.ignore_index]]
    return count, len(part)


def _void(pixels: np.ndarray, key: str) -> list[Finding]:
    share = pixels[-1] / max(1, pixels.sum())
    if share <= _VOID:
        return []
    evidence = f"{key}: {100 * share:.0f} % of the pixels are void"
    fix = "look at data.classes and the label files: which values mean a class, which mean void?"
    return [Finding("mostly-void", "warning", evidence, fix, {"share": float(share)})]


def _never_learnt(names: tuple[str, ...], train: np.ndarray, val: np.ndarray) -> list[Finding]:
    missing = np.flatnonzero((train == 0) & (val > 0))
    if not len(missing):
        return []
    share = float(val[missing].sum() / val.sum())
    listed = ", ".join(names[k] for k in missing)
    part = f"{100 * share:.1f} % of the validation's labelled pixels"
    evidence = f"in data.val but never in data.train: {listed} ({part})"
    fix = "divide the data anew (data.split), or leave these classes out (data.classes)"
    return [Finding("class-never-learnt", "warning", evidence, fix, {"classes": len(missing), "share": share})]


def _disagreement(names: tuple[str, ...], train: np.ndarray, val: np.ndarray) -> list[Finding]:
    if not train.sum() or not val.sum():
        return []
    one, other = train / train.sum(), val / val.sum()
    # Total variation: the share of pixels that would have to change their class.
    distance = float(np.abs(one - other).sum() / 2)
    if distance <= _DISAGREE:
        return []
    k = int(np.abs(one - other).argmax())
    evidence = (
        f"class frequencies differ by {100 * distance:.0f} % of the pixels; '{names[k]}' covers "
        f"{100 * one[k]:.1f} % in training and {100 * other[k]:.1f} % in validation"
    )
    fix = "are labels of one split numbered otherwise? Compare them with data.classes, or divide anew"
    return [Finding("splits-disagree", "warning", evidence, fix, {"distance": distance})]
