"""What is known of one image and what is labelled in it, and what is wrong with them."""

import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from densekd.data.annotations import Annotations, clipped, learnable
from densekd.data.detection import DetectionFiles
from densekd.data.files import SegmentationFiles, Source
from densekd.errors import UserError

_EXIF_ORIENTATION = 0x0112
# COCO's small, medium and large boxes: areas below 32^2, below 96^2, and the rest.
_AREAS = (32**2, 96**2)
# Annotations round; a box may stick out of its image by less than this without a remark.
_SLACK = 0.5
_SHOWN = 5


class Facts(NamedTuple):
    """What is known of one image and its label or boxes.

    Args:
        size: (height, width), or None where something cannot be read.
        counts: how often each thing occurs, in the order of :func:`counted`; empty where something cannot be read.
        digest: of the image file's bytes.
        error: what stops a training, or None.
        warning: what is odd, or None.
    """

    size: tuple[int, int] | None
    counts: tuple[np.ndarray, ...]
    digest: str
    error: str | None
    warning: str | None


def counted(files: SegmentationFiles | DetectionFiles) -> dict[str, tuple[str, ...]]:
    """Name what is counted in these files; the classes come first."""
    names = files.classes.names
    if isinstance(files, SegmentationFiles):
        return {"pixels": (*names, "void")}
    others = ("crowds", "not learnt", "images without boxes")
    return {"boxes": names, "box_sizes": ("small", "medium", "large"), "others": others}


def look(files: SegmentationFiles | DetectionFiles) -> Facts:
    """Read the one image of these files with its label or boxes and note everything about them."""
    source = files.items[0].image
    try:
        return _look_at_pair(files) if isinstance(files, SegmentationFiles) else _look_at_boxes(files)
    except UserError as error:
        return Facts(None, (), "", str(error), None)
    except OSError as error:
        return Facts(None, (), "", f"{source}: cannot be read ({error}).", None)


def _look_at_pair(files: SegmentationFiles) -> Facts:
    item = files.items[0]
    image, label = files.pair(0)
    content = item.image.read_bytes()
    pixels = np.bincount(label.ravel(), minlength=256)
    count = pixels[[*range(len(files.classes.names)), files.classes.ignore_index]]
    warnings = [*_capitals((item.image, item.label)), *_turned(content)]
    height, width = image.shape[:2]
    return Facts((height, width), (count,), _digest(content), None, "; ".join(warnings) or None)


def _look_at_boxes(files: DetectionFiles) -> Facts:
    item, names = files.items[0], files.classes.names
    files.image(0)
    content, (boxes, labels, crowd, area) = item.image.read_bytes(), item.truth
    not_learnt = ~learnable(item.truth, item.size) & ~crowd
    counts = (
        np.bincount(labels[~crowd], minlength=len(names)),
        np.bincount(np.digitize(area[~crowd], _AREAS), minlength=len(_AREAS) + 1),
        np.array([crowd.sum(), not_learnt.sum(), not len(boxes)]),
    )
    inside = clipped(boxes, item.size)
    empty = np.any(boxes[:, 2:] <= boxes[:, :2], 1)
    outside = ~empty & np.any(inside[:, 2:] <= inside[:, :2], 1)
    partly = ~empty & ~outside & np.any(abs(boxes - inside) > _SLACK, 1)
    tiny = not_learnt & ~empty & ~outside
    warnings = [
        *_capitals((item.image,)),
        *_turned(content),
        *_listed(item.truth, names, empty, "without width or height, not learnt"),
        *_listed(item.truth, names, tiny, "less than a pixel wide or high or without area, not learnt"),
        *_listed(item.truth, names, partly, "partly outside the image, learnt as far as inside"),
    ]
    errors = _listed(item.truth, names, outside, "outside the image, correct or remove them")
    return Facts(item.size, counts, _digest(content), "; ".join(errors) or None, "; ".join(warnings) or None)


def _listed(truth: Annotations, names: tuple[str, ...], which: np.ndarray, what: str) -> list[str]:
    """Describe some boxes in one sentence; none in none."""
    rows = zip(truth.labels[which], truth.boxes[which], strict=True)
    shown = [f"{names[label]} ({', '.join(f'{value:g}' for value in box)})" for label, box in rows]
    more = ", ..." if len(shown) > _SHOWN else ""
    return [f"boxes {what} ({len(shown)}): {', '.join(shown[:_SHOWN])}{more}"] if shown else []


def _capitals(sources: Iterable[Source]) -> list[str]:
    odd = [source for source in sources if source.suffix != source.suffix.lower()]
    return [
        f"the suffix of {Path(str(source)).name} is not in lower case; other tools will not find it" for source in odd
    ]


def _turned(content: bytes) -> list[str]:
    with Image.open(io.BytesIO(content)) as picture:
        turned = picture.getexif().get(_EXIF_ORIENTATION, 1)
    what = f"EXIF orientation {turned} is ignored; turn the pixels if the label is meant turned"
    return [] if turned == 1 else [what]


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
