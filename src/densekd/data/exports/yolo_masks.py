"""Masks of YOLO's polygons, as Ultralytics and Roboflow write them: a line for each, in shares of the image."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from densekd.data.exports.read_as import Unlabelled, as_masks
from densekd.data.exports.shapes import Annotated, Export, Polygon, Shape, area, rectangle, ring
from densekd.data.files import SegmentationFiles, image_size
from densekd.data.holdout import Holdout, held_out
from densekd.data.yolo import pooled_stem
from densekd.data.yolo_text import YoloLine, lines_of, notes_of_split, read_yolo
from densekd.errors import UserError


def yolo_masks(
    root: Path,
    split: str,
    unlabelled: Unlabelled = "auto",
    ignore: tuple[str, ...] = (),
    map: Mapping[str, str | None] | None = None,
    holdout: Holdout | None = None,
) -> SegmentationFiles:
    """YOLO's polygons with a data.yaml, drawn as masks.

    Layout: see :func:`densekd.data.yolo.yolo`. Larger polygons are drawn first, so that a smaller
    one is on top, as Ultralytics does. Lines that are boxes are drawn as such among polygons, and
    that is said. An image without a file has nothing in it.

    Args:
        root: the folder that holds it, or the file itself.
        split: a key of the file: ``train``, ``val``, ``test``.
        unlabelled: what pixels outside of all shapes are: ``background``, the class of that name,
            which is made where there is none; ``void``; ``auto``: background, and said.
        ignore: names of classes whose pixels are void.
        map: name of a class, to the name of the class that it becomes (null: void).
        holdout: how images without splits are divided; ``data.split`` of a recipe.

    Raises:
        UserError: no or a malformed ``data.yaml``, an unknown split, no images, or boxes alone.
        RecipeError: options that do not fit the data.
    """
    found = read_yolo(root, split, holdout)
    home = found.path.parent
    images = []
    boxes, total = 0, 0
    for image in found.images:
        lines = lines_of(image, len(found.names))
        boxes += sum(line.is_box for line in lines)
        total += len(lines)
        stem = pooled_stem(image, home) if found.pooled else image.stem
        size = image_size(image)
        images.append(Annotated(stem, image, size, _shapes(lines, size, found.names)))
    if total and boxes == total:
        raise UserError(
            f"{found.path}: all {total} annotations of '{split}' are boxes. For boxes write data.dataset: yolo; for "
            "masks export polygons (YOLO segmentation)."
        )
    chosen = held_out(home, split, images, holdout) if found.pooled else tuple(images)
    notes = notes_of_split(found)
    if boxes:
        notes = (*notes, f"labels: {boxes} of {total} annotations are boxes and are drawn as such.")
    return as_masks(Export(found.path, found.names, chosen, notes=notes), unlabelled, ignore, map or {})


def _shapes(lines: list[YoloLine], size: tuple[int, int], names: tuple[str, ...]) -> tuple[Shape, ...]:
    """Return the shapes of an image in pixels, the largest first."""
    height, width = size
    shapes: list[Shape] = []
    for line in lines:
        points = np.array(line.shape).reshape(-1, 2) * np.array([width, height])
        if line.is_box:
            (x, y), (w, h) = points
            shapes.append(Shape(names[line.label], rectangle(x - w / 2, y - h / 2, x + w / 2, y + h / 2)))
        else:
            shapes.append(Shape(names[line.label], Polygon((ring(points),))))
    shapes.sort(key=lambda shape: -area(shape.geometry))
    return tuple(shapes)
