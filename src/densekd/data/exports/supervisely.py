"""Supervisely: a project's folder with meta.json; polygons with holes, bitmaps and rectangles."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ImageColor

from densekd.data.detection import DetectionFiles
from densekd.data.exports.files import missing_images, read_json
from densekd.data.exports.read_as import Unlabelled, as_boxes, as_masks
from densekd.data.exports.shapes import Annotated, Export, Geometry, Polygon, Shape, bitmap, rectangle, ring
from densekd.data.exports.splits import USUAL, choose
from densekd.data.files import IMAGE_SUFFIXES, SegmentationFiles, find
from densekd.data.holdout import Holdout
from densekd.data.picture import opened
from densekd.errors import UserError, suggest
from densekd.parsers import inflate

_THIN = ("point", "line", "graph")


def supervisely(
    root: Path,
    split: str,
    unlabelled: Unlabelled = "auto",
    ignore: tuple[str, ...] = (),
    map: Mapping[str, str | None] | None = None,
    holdout: Holdout | None = None,
) -> SegmentationFiles:
    """Supervisely's project folder, drawn as masks.

    Layout: ``meta.json`` with classes and colors, and for each dataset ``<dataset>/img/a.jpg`` and
    ``<dataset>/ann/a.jpg.json``, in the root or in one folder of it. A dataset of the split's name,
    or images with a tag of that name, are the split; else ``data.split`` divides the images.
    Polygons with holes, bitmaps and rectangles are drawn in the order of the file, so that a later
    one is on top, as in Supervisely. An image without a file of annotations is left out; a file
    without objects is an image with nothing in it.

    Args:
        root: the folder that holds them.
        split: name of a dataset, a tag, or a list.
        unlabelled: what pixels outside of all shapes are: ``background``, the class of that name,
            which is made where there is none; ``void``; ``auto``: background, and said.
        ignore: names of classes whose pixels are void.
        map: name of a class, to the name of the class that it becomes (null: void).
        holdout: how images without splits are divided; ``data.split`` of a recipe.

    Raises:
        UserError: no project, a malformed file, an unknown class, or no such split.
        RecipeError: options that do not fit the data.
    """
    return as_masks(_split_of(root, split, holdout), unlabelled, ignore, map or {})


def supervisely_boxes(root: Path, split: str, holdout: Holdout | None = None) -> DetectionFiles:
    """Supervisely's project folder, as boxes around all shapes.

    Layout: see :func:`supervisely`.

    Args:
        root: the folder that holds them.
        split: name of a dataset, a tag, or a list.
        holdout: how images without splits are divided; ``data.split`` of a recipe.

    Raises:
        UserError: no project, a malformed file, an unknown class, or no such split.
        RecipeError: options that do not fit the data.
    """
    return as_boxes(_split_of(root, split, holdout))


def project_of(root: Path) -> Path | None:
    """Return the folder of a project: the root, or the only folder in it with a meta.json."""
    found = [path.parent for path in (root / "meta.json", *sorted(root.glob("*/meta.json"))) if path.is_file()]
    projects = [folder for folder in found if any(folder.glob("**/ann"))]
    return projects[0] if projects else None


def _split_of(root: Path, split: str, holdout: Holdout | None) -> Export:
    project = project_of(root)
    if project is None:
        raise UserError(f"{root}: no project of Supervisely; looked for meta.json and <dataset>/img, <dataset>/ann.")
    names, palette = _classes(project / "meta.json")
    images: list[Annotated] = []
    missing: list[str] = []
    alone, thin = 0, 0
    for folder in sorted(project.rglob("ann")):
        pictures = _pictures(folder.parent / "img")
        described = {path.name.removesuffix(".json"): path for path in folder.glob("*.json")}
        missing += [name for name in sorted(described) if name not in pictures]
        for name, picture in pictures.items():
            if name not in described:
                alone += 1
                continue
            stem = folder.parent.relative_to(project) / Path(name).stem
            image, left_out = _image(described[name], picture, stem.as_posix(), names)
            images.append(image)
            thin += left_out
    if missing:
        raise missing_images(project, missing, len(missing) + len(images), project)
    if not images:
        raise UserError(f"{project}: no images in <dataset>/img with a file in <dataset>/ann.")
    notes: list[str] = []
    if alone:
        notes.append(f"labels: {alone} images have no file in ann and are left out.")
    if thin:
        notes.append(f"labels: {thin} points and lines have no area and are left out.")
    return Export(project / "meta.json", names, choose(root, split, images, holdout), palette, tuple(notes))


def _pictures(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise UserError(f"{folder}: missing; its project was exported without images. Export it with them.")
    return {path.name: path for path in find(folder, IMAGE_SUFFIXES).values()}


def _classes(path: Path) -> tuple[tuple[str, ...], tuple[tuple[int, int, int], ...]]:
    """Read the names and colors of a project's classes."""
    try:
        records = read_json(path)["classes"]
        names = tuple(str(record["title"]) for record in records)
        colors = []
        for record in records:
            r, g, b = ImageColor.getrgb(str(record.get("color", "#000000")))[:3]
            colors.append((r, g, b))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise UserError(f"{path}: expected 'classes' with 'title' and 'color' ({error}).") from error
    if not names:
        raise UserError(f"{path}: 'classes' is empty, so there is nothing to learn.")
    return names, tuple(colors)


def _image(path: Path, picture: Path, stem: str, names: tuple[str, ...]) -> tuple[Annotated, int]:
    """Read the annotations of one image; return them and how many objects have no area."""
    content = read_json(path)
    shapes: list[Shape] = []
    thin = 0
    where = str(path)
    try:
        size = int(content["size"]["height"]), int(content["size"]["width"])
        tags = [str(tag.get("name")) for tag in content.get("tags") or [] if isinstance(tag, dict)]
        for position, record in enumerate(content["objects"]):
            where = f"{path}: objects[{position}]"
            name = str(record["classTitle"])
            if name not in names:
                raise ValueError(f"the class '{name}' is not in meta.json. {suggest(name, names)}")
            if record.get("geometryType") in _THIN:
                thin += 1
                continue
            geometry = _geometry(record)
            if geometry is not None:
                shapes.append(Shape(name, geometry))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError, OSError) as error:
        raise UserError(f"{where}: {error}. Correct it, or export the project again.") from error
    split = next((tag for tag in tags if tag in USUAL), None)
    return Annotated(stem, picture, size, tuple(shapes), split), thin


def _geometry(record: Mapping[str, Any]) -> Geometry | None:
    """Parse one object; None for an empty bitmap."""
    kind = record.get("geometryType")
    if kind == "bitmap" or (kind is None and record.get("bitmap")):
        return _bitmap(record["bitmap"])
    if kind not in ("polygon", "rectangle", None):
        raise ValueError(f"geometryType '{kind}' is unknown; known are polygon, bitmap and rectangle")
    points = record["points"]
    if len(points["exterior"]) == 2:
        (x1, y1), (x2, y2) = points["exterior"]
        return rectangle(x1, y1, x2, y2)
    holes = [ring(one) for one in points.get("interior") or []]
    return Polygon((ring(points["exterior"]), *holes))


def _bitmap(record: Mapping[str, Any]) -> Geometry | None:
    """Decode a compressed PNG, whose upper left pixel lies at the origin."""
    left, top = record["origin"]
    with opened(inflate(base64.b64decode(record["data"]))) as picture:
        pixels = np.asarray(picture)
        # A palette or gray picture of one bit, or RGBA whose alpha is the mask.
        mask = pixels[..., -1] > 0 if pixels.ndim == 3 else pixels > 0
    return bitmap(mask, int(top), int(left))
