"""What a data check reads of an image and its label map."""

from collections.abc import Sequence

import numpy as np

from densekd.data.contract import subset
from densekd.data.facts import Facts, image_facts
from densekd.data.files import SegmentationFiles
from densekd.tasks.findings import Finding, absent_classes, seen_in

# A class that covers more of the labelled pixels hides whether anything is learnt of the others.
_MOST = 0.99
# Labels that are read before it is said that there is nothing to learn.
_MORE = 400


def counted(files: SegmentationFiles) -> dict[str, tuple[str, ...]]:
    """Name what is counted: the pixels of each class, and void ones."""
    return {"pixels": (*files.classes.names, "void")}


def look(files: SegmentationFiles) -> Facts:
    """Read the one image of these files with its label and count the pixels of each class.

    Raises:
        UserError: either cannot be read, or they do not fit.
    """
    item = files.items[0]
    image, label = files.pair(0)
    # One count of all values; those of no class were refused when the label was read.
    pixels = np.bincount(label.ravel(), minlength=256)
    count = pixels[[*range(len(files.classes.names)), files.classes.ignore_index]]
    height, width = image.shape[:2]
    return image_facts((item.image, item.label), (height, width), (count,), pixels=image, bands=files.bands)


def findings(files: SegmentationFiles, facts: Sequence[Facts]) -> list[Finding]:
    """Judge the labels of a split by a sample: only void, one class alone, classes that never occur.

    Args:
        files: the whole split.
        facts: of a sample of its images.
    """
    if files.labels == "absent":
        return []
    names, where = files.classes.names, seen_in(files, facts)
    pixels = sum((fact.counts[0] for fact in facts), np.zeros(len(names) + 1, np.int64))
    of_class, void = pixels[:-1], int(pixels[-1])
    # A sample may miss what is rare: more labels are read before the split is refused.
    if np.count_nonzero(of_class) < min(2, len(names)) and len(facts) < len(files):
        of_class, more = _pixels_of_more(files)
        where = f"a sample of {more} of {len(files)} images" if more < len(files) else f"all {more} images"
    labelled = int(of_class.sum())
    if labelled == 0:
        void_value = files.classes.ignore_index
        return [Finding("nothing", f"in {where} every label is void ({void_value}), so that nothing is learnt.")]
    most = int(of_class.argmax())
    share = of_class[most] / labelled
    if share == 1 and len(names) > 1:
        what = f"in {where} every labelled pixel is of the class '{names[most]}', so that nothing is learnt."
        return [Finding("nothing", what + _hint(files, most, void))]
    found = absent_classes(names, of_class.tolist(), where)
    if share > _MOST:
        what = f"in {where} {100 * share:.2f} % of the labelled pixels are of the class '{names[most]}'"
        found.append(Finding("odd", f"{what}; look at the scores of the other classes, not at pixel accuracy."))
    if of_class[0] == 0 and of_class[-1] > 0:
        found.append(Finding("odd", f"no label is 0 ('{names[0]}'); do the labels count the classes from 1?"))
    return found


def _pixels_of_more(files: SegmentationFiles) -> tuple[np.ndarray, int]:
    """Count the pixels of each class in more labels, until two classes were seen; return how many were read."""
    count = np.zeros(len(files.classes.names), np.int64)
    more = subset(files, _MORE)
    for index in range(len(more)):
        count += np.bincount(more.label(index).ravel(), minlength=256)[: len(count)]
        if np.count_nonzero(count) > 1:
            return count, index + 1
    return count, len(more)


def _hint(files: SegmentationFiles, most: int, void: int) -> str:
    """Say what labels of one class and void usually are: masks of 0 and 255."""
    if not void:
        return " Are these the right label files?"
    value = files.classes.ignore_index
    return (
        f" The labels hold {most} and {value} alone, and {value} is ignored: in masks of 0 and 255 write 1 in place of "
        "255."
    )
