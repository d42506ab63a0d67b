"""LabelMe (Wada): a JSON file for each image, with polygons, rectangles, circles and masks."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from densekd.data.detection import DetectionFiles
from densekd.data.exports.files import InsideJson, Pictures, missing_images, names_of, posix, read_json
from densekd.data.exports.read_as import Unlabelled, as_boxes, as_masks
from densekd.data.exports.shapes import (
    Annotated,
    Export,
    Geometry,
    Polygon,
    Shape,
    bitmap,
    ellipse,
    rectangle,
    ring,
)
from densekd.data.exports.splits import choose
from densekd.data.files import IMAGE_SUFFIXES, SegmentationFiles, find, first_file, image_size
from densekd.data.found import Source
from densekd.data.holdout import Holdout
from densekd.data.picture import opened
from densekd.errors import UserError

# What LabelMe's own converter leaves out of training.
_VOID = "__ignore__"
# Shapes without an area.
_THIN = ("point", "points", "line", "linestrip")


def labelme(
    root: Path,
    split: str,
    unlabelled: Unlabelled = "auto",
    ignore: tuple[str, ...] = (),
    map: Mapping[str, str | None] | None = None,
    holdout: Holdout | None = None,
) -> SegmentationFiles:
    """LabelMe's JSON files beside their images, drawn as masks.

    Layout: ``*.json`` at any depth, each beside its image (``imagePath``), or with the image inside
    (``imageData``). A folder of the split's name is the split; without such folders ``data.split``
    divides the images. Classes are the labels that occur, by the alphabet, or in the order of a
    ``labels.txt``. Polygons, rectangles, circles and masks are drawn in the order of the file, so
    that a later one is on top, as LabelMe's own converter does; ``__ignore__`` is void. An image
    without a JSON file is left out.

    Args:
        root: the folder that holds them.
        split: name of a sub-folder, or of a list.
        unlabelled: what pixels outside of all shapes are: ``background``, the class of that name,
            which is made where there is none; ``void``; ``auto``: background, and said.
        ignore: names of classes whose pixels are void.
        map: name of a class, to the name of the class that it becomes (null: void).
        holdout: how images without splits are divided; ``data.split`` of a recipe.

    Raises:
        UserError: no JSON file, a malformed one, a missing image, or no such split.
        RecipeError: options that do not fit the data.
    """
    return as_masks(_split_of(root, split, holdout), unlabelled, ignore, map or {})


def labelme_boxes(root: Path, split: str, holdout: Holdout | None = None) -> DetectionFiles:
    """LabelMe's JSON files beside their images, as boxes around all shapes.

    Layout: see :func:`labelme`.

    Args:
        root: the folder that holds them.
        split: name of a sub-folder, or of a list.
        holdout: how images without splits are divided; ``data.split`` of a recipe.

    Raises:
        UserError: no JSON file, a malformed one, a missing image, or no such split.
        RecipeError: options that do not fit the data.
    """
    return as_boxes(_split_of(root, split, holdout))


def is_labelme(content: Any) -> bool:
    """Return True for the content of a LabelMe file."""
    return isinstance(content, dict) and "shapes" in content and "imagePath" in content


def _split_of(root: Path, split: str, holdout: Holdout | None) -> Export:
    if not root.is_dir():
        raise UserError(f"{root}: no such folder.")
    pictures = Pictures(root)
    images: list[Annotated] = []
    missing: list[str] = []
    thin = 0
    for path in find(root, (".json",)).values():
        content = read_json(path)
        if not is_labelme(content):
            continue
        image = _image(path, content, pictures)
        if image is None:
            missing.append(str(content["imagePath"]))
            continue
        shapes, left_out = _shapes(path, content)
        thin += left_out
        stem = path.relative_to(root).with_suffix("").as_posix()
        images.append(Annotated(stem, image, _size(content, image), shapes))
    if missing:
        raise missing_images(root, missing, len(missing) + len(images), root)
    if not images:
        raise UserError(f"{root}: no LabelMe files; looked for *.json with 'shapes' and 'imagePath'.")
    chosen = choose(root, split, images, holdout)
    return Export(root, names_of(root / "labels.txt", images, (_VOID,)), chosen, notes=_notes(images, pictures, thin))


def _image(path: Path, content: dict[str, Any], pictures: Pictures) -> Source | None:
    """Find an image where its file says, beside the file, or inside it."""
    name = posix(str(content["imagePath"]))
    beside = [path.with_suffix(suffix) for suffix in IMAGE_SUFFIXES]
    found = first_file((path.parent / name, path.parent / Path(name).name, *beside))
    if found is not None:
        return found
    if content.get("imageData"):
        return InsideJson(path, Path(name).name)
    return pictures.find(name)


def _size(content: dict[str, Any], image: Source) -> tuple[int, int]:
    height, width = content.get("imageHeight"), content.get("imageWidth")
    if isinstance(height, int) and isinstance(width, int):
        return height, width
    return image_size(image)


def _shapes(path: Path, content: dict[str, Any]) -> tuple[tuple[Shape, ...], int]:
    """Parse the shapes of a file; return them and how many have no area."""
    shapes: list[Shape] = []
    thin = 0
    if not isinstance(content["shapes"], list):
        raise UserError(f"{path}: 'shapes' must be a list. Correct it in LabelMe, or remove the file.")
    for position, record in enumerate(content["shapes"]):
        try:
            name, kind = str(record["label"]), record.get("shape_type") or "polygon"
            if kind in _THIN:
                thin += 1
                continue
            geometry = _geometry(kind, record)
        except (KeyError, TypeError, ValueError, OverflowError, OSError, AttributeError) as error:
            raise UserError(f"{path}: shapes[{position}]: {error}. Correct it in LabelMe, or remove it.") from error
        if geometry is not None:
            shapes.append(Shape(None if name == _VOID else name, geometry))
    return tuple(shapes), thin


def _geometry(kind: str, record: dict[str, Any]) -> Geometry | None:
    """Parse one shape by its kind; None for an empty mask."""
    points = np.asarray(record["points"], np.float64)
    if kind == "mask":
        with opened(base64.b64decode(record["mask"])) as picture:
            mask = np.asarray(picture.convert("L")) > 0
        left, top = points.min(0)
        return bitmap(mask, int(top), int(left))
    if kind == "rectangle" and len(points) == 2:
        (x1, y1), (x2, y2) = points
        return rectangle(x1, y1, x2, y2)
    if kind == "circle":
        # The center, and a point of the circle.
        center, edge = points
        radius = float(np.hypot(*(edge - center)))
        return ellipse(center[0], center[1], radius, radius)
    if kind in ("polygon", "rectangle", "oriented_rectangle"):
        return Polygon((ring(points),))
    raise ValueError(f"shape_type '{kind}' is unknown; known are polygon, rectangle, circle and mask")


def _notes(images: list[Annotated], pictures: Pictures, thin: int) -> tuple[str, ...]:
    notes: list[str] = []
    alone = pictures.without([one.image for one in images])
    if alone:
        notes.append(
            f"labels: {len(alone)} images have no JSON file and are left out, the first: {alone[0]}. Save them in "
            "LabelMe if there is nothing in them."
        )
    if thin:
        notes.append(f"labels: {thin} points and lines have no area and are left out.")
    return tuple(notes)
