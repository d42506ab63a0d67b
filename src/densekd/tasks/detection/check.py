"""What a data check reads of an image and its boxes."""

from collections.abc import Sequence

import numpy as np

from densekd.data.annotations import Annotations, clipped, learnable
from densekd.data.detection import DetectionFiles
from densekd.data.facts import Facts, image_facts
from densekd.tasks.findings import Finding, absent_classes

# COCO's small, medium and large boxes: areas below 32^2, below 96^2, and the rest.
_AREAS = (32**2, 96**2)
# Annotations round; a box may stick out of its image by less than this without a remark.
_SLACK = 0.5
_SHOWN = 5


def counted(files: DetectionFiles) -> dict[str, tuple[str, ...]]:
    """Name what is counted: boxes by class and by size, and what is not learnt as a box."""
    others = ("crowds", "not learnt", "images without boxes")
    return {"boxes": files.classes.names, "box_sizes": ("small", "medium", "large"), "others": others}


def look(files: DetectionFiles) -> Facts:
    """Read the one image of these files, count its boxes and find those that are odd.

    Raises:
        UserError: the image cannot be read, or is of another size than its annotations say.
    """
    item, names = files.items[0], files.classes.names
    # Decoded for its errors alone: a damaged file, another size than annotated.
    image = files.image(0)
    boxes, labels, crowd, area = item.truth
    # Crowds are not learned as boxes either, and are counted by themselves.
    not_learnt = ~learnable(item.truth, item.size) & ~crowd
    counts = (
        np.bincount(labels[~crowd], minlength=len(names)),
        np.bincount(np.digitize(area[~crowd], _AREAS), minlength=len(_AREAS) + 1),
        np.array([crowd.sum(), not_learnt.sum(), not len(boxes)]),
    )
    # Each odd box has one reason: the first of empty, outside, partly outside, tiny.
    inside = clipped(boxes, item.size)
    empty = np.any(boxes[:, 2:] <= boxes[:, :2], 1)
    outside = ~empty & np.any(inside[:, 2:] <= inside[:, :2], 1)
    partly = ~empty & ~outside & np.any(abs(boxes - inside) > _SLACK, 1)
    tiny = not_learnt & ~empty & ~outside
    warnings = [
        *_listed(item.truth, names, empty, "without width or height, not learnt"),
        *_listed(item.truth, names, tiny, "less than a pixel wide or high or without area, not learnt"),
        *_listed(item.truth, names, partly, "partly outside the image, learnt as far as inside"),
    ]
    errors = _listed(item.truth, names, outside, "outside the image, correct or remove them")
    facts = image_facts((item.image,), item.size, counts, warnings, image, files.bands)
    return facts._replace(error="; ".join(errors) or None)


def findings(files: DetectionFiles, facts: Sequence[Facts]) -> list[Finding]:
    """Judge the boxes of a split, all of which are known: none that is learnt, classes that never occur.

    Args:
        files: the whole split.
        facts: of a sample of its images; not needed.
    """
    where = f"all {len(files)} images"
    if not any(learnable(item.truth, item.size).any() for item in files.items):
        return [Finding("nothing", f"in {where} no box is learnt. {_why_none(files)}")]
    labels = np.concatenate([item.truth.labels[~item.truth.crowd] for item in files.items])
    counts = np.bincount(labels, minlength=len(files.classes.names))
    return absent_classes(files.classes.names, counts.tolist(), where)


def _why_none(files: DetectionFiles) -> str:
    """Say what the boxes are that nothing is learnt of."""
    boxes = sum(len(item.truth.boxes) for item in files.items)
    if not boxes:
        return "No image has a box: is this the right file of annotations, and are they where they are looked for?"
    crowds = sum(int(item.truth.crowd.sum()) for item in files.items)
    empty = sum(int((item.truth.area <= 0).sum()) for item in files.items)
    return (
        f"Of {boxes} boxes {crowds} are crowds (iscrowd, difficult), {empty} have no area, and the others are less "
        "than a pixel wide or high or outside their image."
    )


def _listed(truth: Annotations, names: tuple[str, ...], which: np.ndarray, what: str) -> list[str]:
    """Describe some boxes in one sentence; none in none."""
    shown: list[str] = []
    for label, box in zip(truth.labels[which], truth.boxes[which], strict=True):
        corners = ", ".join(f"{value:g}" for value in box)
        shown.append(f"{names[label]} ({corners})")
    if not shown:
        return []
    more = ", ..." if len(shown) > _SHOWN else ""
    return [f"boxes {what} ({len(shown)}): {', '.join(shown[:_SHOWN])}{more}"]
