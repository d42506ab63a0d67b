"""Masks of COCO's JSON: polygons and run lengths, as COCO, CVAT, Roboflow and Label Studio write them."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from densekd.data.coco_json import CocoFile, belongs, by_id, read_coco
from densekd.data.exports.read_as import Unlabelled, as_masks
from densekd.data.exports.rle import coco_mask
from densekd.data.exports.shapes import Annotated, Export, Geometry, Polygon, Shape, bitmap, rectangle, ring
from densekd.data.files import SegmentationFiles
from densekd.data.holdout import Holdout, held_out
from densekd.errors import UserError


def coco_masks(
    root: Path,
    split: str,
    unlabelled: Unlabelled = "auto",
    ignore: tuple[str, ...] = (),
    map: Mapping[str, str | None] | None = None,
    holdout: Holdout | None = None,
) -> SegmentationFiles:
    """Masks of COCO's JSON, drawn from its polygons and run lengths.

    Layout: see :func:`densekd.data.coco.coco`; so write CVAT, Roboflow (COCO segmentation), Label
    Studio and others. Categories, sorted by id, are the classes. Annotations are drawn in the order
    of their ids, so that a later one is on top: COCO itself says nothing of overlaps. An annotation
    without a mask is drawn as its box, and that is said; an image without annotations has nothing
    in it.

    Args:
        root: the folder that holds them.
        split: its name, or ``FILE.json@FOLDER``.
        unlabelled: what pixels outside of all shapes are: ``background``, the class of that name,
            which is made where there is none; ``void``; ``auto``: background, and said.
        ignore: names of classes whose pixels are void.
        map: name of a class, to the name of the class that it becomes (null: void).
        holdout: how the images of a single file are divided; ``data.split`` of a recipe.

    Raises:
        UserError: a missing file or image, malformed JSON, or no annotation with a mask.
        RecipeError: options that do not fit the data.
    """
    file = read_coco(root, split, holdout)
    labels = {category: label for label, category in enumerate(file.categories)}
    parsed = by_id(file.path, file.content, "annotations", lambda record: _shapes(record, file, labels))
    shapes: dict[int, list[Shape]] = defaultdict(list)
    for _, (image, found) in sorted(parsed.items()):
        shapes[image] += found
    images = []
    for number, (stem, path, size) in sorted(file.images.items()):
        images.append(Annotated(stem, path, size, tuple(shapes[number])))
    chosen = held_out(root, split, images, holdout) if file.pooled else tuple(images)
    export = Export(file.path, file.names, chosen, notes=_boxes(file))
    return as_masks(export, unlabelled, ignore, map or {})


def _shapes(record: Mapping[str, Any], file: CocoFile, labels: Mapping[int, int]) -> tuple[int, list[Shape]]:
    """Parse the image id and the mask of one annotation, which may have several parts."""
    image, label = belongs(record, file, labels)
    name = file.names[label]
    return image, [Shape(name, geometry) for geometry in _geometries(record)]


def _geometries(record: Mapping[str, Any]) -> list[Geometry]:
    mask: Any = record.get("segmentation")
    if isinstance(mask, dict):
        found = bitmap(coco_mask(mask["counts"], mask["size"]))
        return [] if found is None else [found]
    if not _has_area(mask):
        x, y, width, height = record["bbox"]
        return [rectangle(x, y, x + width, y + height)]
    parts = mask if isinstance(mask[0], list) else [mask]
    geometries: list[Geometry] = []
    for part in parts:
        if len(part) % 2:
            raise ValueError(f"a polygon of segmentation has {len(part)} numbers; x and y of each point are two")
        # Tools leave remains of two points, which have no area.
        if len(part) >= 6:
            geometries.append(Polygon((ring(np.reshape(np.asarray(part, np.float64), (-1, 2))),)))
    return geometries


def _has_area(mask: Any) -> bool:
    """Tell a mask from none: no polygon, or nothing but remains of fewer than three points."""
    if not mask or isinstance(mask, dict):
        return bool(mask)
    parts = mask if isinstance(mask[0], list) else [mask]
    return any(len(part) >= 6 or len(part) % 2 for part in parts)


def _boxes(file: CocoFile) -> tuple[str, ...]:
    """Remark on annotations that have a box and no mask.

    Raises:
        UserError: all have none.
    """
    records = file.content["annotations"]
    without = sum(not _has_area(record.get("segmentation")) for record in records)
    if records and without == len(records):
        raise UserError(
            f"{file.path}: no annotation has a mask (segmentation). For boxes write data.dataset: coco; for masks "
            "export with polygons."
        )
    if not without:
        return ()
    return (f"labels: {without} of {len(records)} annotations have no mask and are drawn as their boxes.",)
