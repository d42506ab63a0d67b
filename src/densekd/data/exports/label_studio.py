"""Label Studio: one JSON file with all tasks; polygons, brushes, rectangles and ellipses in percent."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

import numpy as np

from densekd.data.detection import DetectionFiles
from densekd.data.exports.files import Pictures, missing_images, names_of, posix, read_json
from densekd.data.exports.read_as import Unlabelled, as_boxes, as_masks
from densekd.data.exports.rle import brush_mask
from densekd.data.exports.shapes import (
    Annotated,
    Export,
    Geometry,
    Polygon,
    Shape,
    bitmap,
    ellipse,
    ring,
    turned,
)
from densekd.data.exports.splits import choose
from densekd.data.files import IMAGE_SUFFIXES, SegmentationFiles, image_size
from densekd.data.holdout import Holdout
from densekd.errors import UserError


def labelstudio(
    root: Path,
    split: str,
    unlabelled: Unlabelled = "auto",
    ignore: tuple[str, ...] = (),
    map: Mapping[str, str | None] | None = None,
    holdout: Holdout | None = None,
) -> SegmentationFiles:
    """Label Studio's JSON export with the images below the same folder, drawn as masks.

    Layout: one ``*.json`` in the root (the export JSON, not JSON-MIN), or ``<split>.json``; images
    anywhere below, found by their names, also with the digits that Label Studio puts before them.
    ``data.split`` divides the images of one file. Classes are the labels that occur, by the
    alphabet, or in the order of a ``classes.txt``. Polygons, brushes, rectangles and ellipses are
    drawn in the order of the file, so that a later one is on top. Of several annotations of an image
    the one that is marked as ground truth counts, else the last; images without any are left out.

    Args:
        root: the folder that holds them, or the file.
        split: name of a file, a sub-folder of images, or a list.
        unlabelled: what pixels outside of all shapes are: ``background``, the class of that name,
            which is made where there is none; ``void``; ``auto``: background, and said.
        ignore: names of classes whose pixels are void.
        map: name of a class, to the name of the class that it becomes (null: void).
        holdout: how images without splits are divided; ``data.split`` of a recipe.

    Raises:
        UserError: no such file, a malformed one, a missing image, or no such split.
        RecipeError: options that do not fit the data.
    """
    return as_masks(_split_of(root, split, holdout), unlabelled, ignore, map or {})


def labelstudio_boxes(root: Path, split: str, holdout: Holdout | None = None) -> DetectionFiles:
    """Label Studio's JSON export with the images below the same folder, as boxes around all shapes.

    Layout: see :func:`labelstudio`.

    Args:
        root: the folder that holds them, or the file.
        split: name of a file, a sub-folder of images, or a list.
        holdout: how images without splits are divided; ``data.split`` of a recipe.

    Raises:
        UserError: no such file, a malformed one, a missing image, or no such split.
        RecipeError: options that do not fit the data.
    """
    return as_boxes(_split_of(root, split, holdout))


def is_label_studio(content: Any) -> bool:
    """Return True for the content of a Label Studio export."""
    if not isinstance(content, list) or not content or not isinstance(content[0], dict):
        return False
    return "annotations" in content[0] or "completions" in content[0]


def _split_of(root: Path, split: str, holdout: Holdout | None) -> Export:
    path, content = _read(root, split)
    home = path.parent
    pictures = Pictures(home)
    images: list[Annotated] = []
    missing: list[str] = []
    notes = _Notes()
    for position, task in enumerate(content):
        try:
            results = _results(task, notes)
            if results is None:
                continue
            name = _image_name(task)
            picture = pictures.find(name)
            if picture is None:
                missing.append(name)
                continue
            size = _size(results) or image_size(picture)
            shapes = _shapes(results, size, notes)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
            raise UserError(f"{path}: task {position + 1}: {error}. Export it again.") from error
        images.append(Annotated(pictures.stem(picture), picture, size, shapes))
    if missing:
        raise missing_images(path, missing, len(missing) + len(images), home)
    images.sort(key=lambda one: one.stem)
    names = names_of(home / "classes.txt", images)
    # A file of the split's name holds that split.
    if path.stem == split:
        return Export(path, names, tuple(images), notes=notes.said())
    return Export(path, names, choose(home, split, images, holdout), notes=notes.said())


def _read(root: Path, split: str) -> tuple[Path, Sequence[Any]]:
    """Find and read the export."""
    if not root.exists():
        raise UserError(f"{root}: no such folder.")
    candidates = [root] if root.is_file() else sorted(root.glob("*.json"))
    found = []
    for path in candidates:
        content = read_json(path)
        if is_label_studio(content):
            found.append((path, content))
        elif isinstance(content, list) and content and isinstance(content[0], dict):
            raise UserError(
                f"{path}: tasks without 'annotations'. This is JSON-MIN, or nothing is annotated; export as JSON."
            )
    named = [one for one in found if one[0].stem == split]
    found = named or found
    if not found:
        raise UserError(f"{root}: no export of Label Studio; looked for *.json, a list of tasks with 'annotations'.")
    if len(found) > 1:
        listed = " and ".join(str(path) for path, _ in found)
        raise UserError(f"{listed} are exports of Label Studio; keep one, or name them train.json and val.json.")
    return found[0]


class _Notes:
    """Counts of what is left out or chosen."""

    def __init__(self) -> None:
        self.without = 0
        self.several = 0
        self.thin = 0
        self.nameless = 0

    def said(self) -> tuple[str, ...]:
        """Return a sentence for each count that is not 0."""
        sentences = (
            (self.without, "images have no annotation and are left out; submit them if there is nothing in them"),
            (self.several, "images have several annotations; the ground truth counts, else the last"),
            (self.thin, "key points and lines have no area and are left out"),
            (self.nameless, "regions have no label and are left out"),
        )
        return tuple(f"labels: {count} {what}." for count, what in sentences if count)


def _results(task: Mapping[str, Any], notes: _Notes) -> list[Any] | None:
    """Return the regions of the annotation that counts; None for an image without any."""
    annotations = task.get("annotations") or task.get("completions") or []
    kept = [one for one in annotations if not one.get("was_cancelled")]
    if not kept:
        notes.without += 1
        return None
    if len(kept) > 1:
        notes.several += 1
    truth = [one for one in kept if one.get("ground_truth")]
    results: list[Any] = (truth or kept)[-1]["result"]
    return results


def _image_name(task: Mapping[str, Any]) -> str:
    """Return the path of a task's image: what follows the folder of a URL, without what is encoded."""
    data = task["data"]
    values = [data["image"]] if isinstance(data.get("image"), str) else list(data.values())
    for value in values:
        if not isinstance(value, str):
            continue
        name = unquote(value)
        name = name.partition("?d=")[2] or name.partition("?")[0]
        if PurePosixPath(posix(name)).suffix.lower() in IMAGE_SUFFIXES:
            return name
    raise ValueError(f"'data' names no image ({', '.join(IMAGE_SUFFIXES)})")


def _size(results: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    for one in results:
        if "original_height" in one:
            return int(one["original_height"]), int(one["original_width"])
    return None


def _shapes(results: Sequence[Mapping[str, Any]], size: tuple[int, int], notes: _Notes) -> tuple[Shape, ...]:
    shapes: list[Shape] = []
    # A region and its label may be two results of one id.
    labels: dict[str, str] = {}
    for one in results:
        name = _label(one)
        if name is not None:
            labels[str(one.get("id"))] = name
    drawn: set[str] = set()
    for one in results:
        value, key = one.get("value", {}), str(one.get("id"))
        if not {"rle", "points", "x"} & set(value) or (key in drawn and "id" in one):
            continue
        if "vertices" in value or not {"rle", "points", "width", "radiusX"} & set(value) or _is_point(value):
            notes.thin += 1
            continue
        found = labels.get(key) if "id" in one else _label(one)
        if found is None:
            notes.nameless += 1
            continue
        drawn.add(key)
        geometry = _geometry(value, size)
        if geometry is not None:
            shapes.append(Shape(found, geometry))
    return tuple(shapes)


def _is_point(value: Mapping[str, Any]) -> bool:
    """Return True for a key point, whose width is that of its mark."""
    return "x" in value and "height" not in value and "radiusX" not in value


def _label(result: Mapping[str, Any]) -> str | None:
    """Return the label of a region: polygonlabels, brushlabels, rectanglelabels, labels, ..."""
    for key, value in result.get("value", {}).items():
        if key.endswith("labels") and isinstance(value, list) and value:
            return str(value[0])
    return None


def _geometry(value: Mapping[str, Any], size: tuple[int, int]) -> Geometry | None:
    """Parse one region; None for an empty brush."""
    height, width = size
    scale = np.array([width, height]) / 100
    if "rle" in value:
        return bitmap(brush_mask(value["rle"], size))
    if "points" in value:
        return Polygon((ring(value["points"]) * scale,))
    x, y = np.array([value["x"], value["y"]], np.float64) * scale
    degrees = float(value.get("rotation") or 0)
    if "radiusX" in value:
        radius_x, radius_y = np.array([value["radiusX"], value["radiusY"]], np.float64) * scale
        return ellipse(x, y, radius_x, radius_y, degrees)
    w, h = np.array([value["width"], value["height"]], np.float64) * scale
    # A rectangle is turned around its upper left corner.
    corners = np.array([(0, 0), (w, 0), (w, h), (0, h)])
    return Polygon((ring(turned(corners, degrees) + np.array([x, y])),))
