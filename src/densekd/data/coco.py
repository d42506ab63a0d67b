"""Boxes in COCO's JSON (Lin et al., ECCV 2014, arXiv 1405.0312): COCO and datasets written like it."""

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from densekd.data.annotations import Annotation, stacked
from densekd.data.classes import distinct_classes
from densekd.data.coco_flat import flat_coco
from densekd.data.coco_json import LARGEST, CocoFile, annotation_file, belongs, by_id, read_coco
from densekd.data.detection import DetectionFiles, DetectionItem
from densekd.data.holdout import Holdout, held_out


def coco(root: Path, split: str, holdout: Holdout | None = None) -> DetectionFiles:
    """Boxes in COCO's JSON: COCO itself, or any data in its layout or Roboflow's.

    Layouts, the first that is there: ``annotations/instances_<split>.json`` (official:
    ``train2017``) or ``instances_<split>.json``, with the images in ``<split>/`` or
    ``images/<split>/``; ``_annotations.coco.json`` among the images in ``<split>/`` (Roboflow). Any
    other pair is a split ``FILE.json@FOLDER``, both below the root or absolute. ``data.split``
    divides the images of a single file: CVAT's ``annotations/instances_default.json``, Label
    Studio's ``result.json``, or one of the above.

    The categories, sorted by id, are the classes 0..C-1. Boxes are kept as they are, whatever is
    trained on: see :func:`densekd.data.annotations.learnable`.

    Args:
        root: the folder that holds them.
        split: its name, or ``FILE.json@FOLDER``.
        holdout: how the images of a single file are divided; ``data.split`` of a recipe.

    Raises:
        UserError: a missing file or image, malformed JSON, no image, no category, an id that occurs
            twice, or an annotation of an unknown image or category.
        RecipeError: ``data.split`` where splits are there.
    """
    quick = flat_coco(*annotation_file(root, split, holdout))
    if quick is not None:
        return DetectionFiles(distinct_classes(quick.names, quick.path), quick.items, quick.categories)
    file = read_coco(root, split, holdout)
    labels = {category: label for label, category in enumerate(file.categories)}
    annotations = by_id(file.path, file.content, "annotations", lambda record: _annotation(record, file, labels))
    boxes: dict[int, list[Annotation]] = defaultdict(list)
    for image, annotation in annotations.values():
        boxes[image].append(annotation)
    # Images without annotations stay: a detector learns background from them.
    items = []
    for number, (stem, path, size) in sorted(file.images.items()):
        items.append(DetectionItem(stem, path, number, size, stacked(boxes[number])))
    chosen = held_out(root, split, items, holdout) if file.pooled else tuple(items)
    return DetectionFiles(distinct_classes(file.names, file.path), chosen, file.categories, _texts(file.content))


def _annotation(record: Mapping[str, Any], file: CocoFile, labels: Mapping[int, int]) -> tuple[int, Annotation]:
    """Parse the image id and the box of one annotation."""
    image, label = belongs(record, file, labels)
    x, y, width, height = _box(record["bbox"])
    # The area is that of the mask, where the file has one.
    area = width * height
    if record.get("area") is not None:
        area = float(record["area"])
    corners = (x, y, x + width, y + height)
    return image, Annotation(corners, label, _crowd(record), area)


def _box(value: Any) -> list[float]:
    """Read x, y, width and height."""
    box = []
    # What is no number is said with what belongs there.
    with suppress(TypeError, ValueError, OverflowError):
        box = [float(one) for one in value if isinstance(value, list)]
    # This is false for NaN as well.
    if len(box) != 4 or not all(abs(one) <= LARGEST for one in box):
        raise ValueError(f"bbox must be four finite numbers, x, y, width and height, not {value!r:.80}")
    return box


def _crowd(record: Mapping[str, Any]) -> bool:
    """Read whether an annotation is a crowd; any text would be true."""
    value = record.get("iscrowd", 0)
    if isinstance(value, str) and value.strip() in ("0", "1"):
        return value.strip() == "1"
    if value not in (0, 1, None):
        raise ValueError(f"iscrowd must be 0 or 1, not {value!r}")
    return bool(value)


def _texts(content: Mapping[str, Any]) -> tuple[str, ...]:
    """Remark on annotations whose ``iscrowd`` is text."""
    count = sum(isinstance(record.get("iscrowd"), str) for record in content["annotations"])
    if not count:
        return ()
    return (f'boxes: iscrowd is text ("0") in {count} annotations of COCO\'s JSON; it was read as a number.',)
