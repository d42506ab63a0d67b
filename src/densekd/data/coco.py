"""Boxes in COCO's JSON (Lin et al., ECCV 2014, arXiv 1405.0312): COCO and datasets written like it."""

import json
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar

from densekd.data.annotations import Annotation, stacked
from densekd.data.classes import distinct_classes
from densekd.data.detection import DetectionFiles, DetectionItem
from densekd.data.files import first_file, first_folder
from densekd.data.listing import join_path
from densekd.errors import UserError

T = TypeVar("T")
_ROBOFLOW = "_annotations.coco.json"
_OTHER_PLACES = "Elsewhere, say FILE.json@FOLDER in place of the split's name"


def coco(root: Path, split: str) -> DetectionFiles:
    """Boxes in COCO's JSON: COCO itself, or any data in its layout or Roboflow's.

    Layouts, the first that is there: ``annotations/instances_<split>.json`` (official:
    ``train2017``) or ``instances_<split>.json``, with the images in ``<split>/`` or
    ``images/<split>/``; ``_annotations.coco.json`` among the images in ``<split>/`` (Roboflow). Any
    other pair is a split ``FILE.json@FOLDER``, both below the root or absolute.

    The categories, sorted by id, are the classes 0..C-1. Boxes are kept as they are, whatever is
    trained on: see :func:`densekd.data.annotations.learnable`.

    Args:
        root: the folder that holds them.
        split: its name, or ``FILE.json@FOLDER``.

    Raises:
        UserError: a missing file or image, malformed JSON, no image, no category, an id that occurs
            twice, or an annotation of an unknown image or category.
    """
    path, folder = _places(root, split)
    content = _read(path)
    if path.name == _ROBOFLOW:
        _without_group(content)
    # Categories, sorted by their ids, become the classes 0..C-1.
    names = _by_id(path, content, "categories", lambda record: str(record["name"]))
    categories = tuple(sorted(names))
    labels = {category: label for label, category in enumerate(categories)}
    images = _by_id(path, content, "images", _image)
    if not names or not images:
        what = "images" if names else "categories"
        raise UserError(f"{path}: '{what}' is empty, so there is nothing to detect; is this the right file?")
    # Files of test images have no annotations.
    content.setdefault("annotations", [])
    annotations = _by_id(path, content, "annotations", lambda record: _annotation(record, images, labels))
    boxes: dict[int, list[Annotation]] = defaultdict(list)
    for image, annotation in annotations.values():
        boxes[image].append(annotation)
    _require_files(path, folder, [name for name, _ in images.values()])
    # Images without annotations stay: a detector learns background from them.
    items = []
    for number, (name, size) in sorted(images.items()):
        stem = Path(name).with_suffix("").as_posix()
        items.append(DetectionItem(stem, join_path(folder, name), number, size, stacked(boxes[number])))
    classes = distinct_classes([names[category] for category in categories], path)
    return DetectionFiles(classes, tuple(items), categories, _texts(content))


def _places(root: Path, split: str) -> tuple[Path, Path]:
    """Return the file of annotations and the folder of images."""
    file, at, folder = split.partition(".json@")
    if at:
        return root / f"{file}.json", root / folder
    official = f"instances_{split}.json"
    candidates = (root / "annotations" / official, root / official, root / split / _ROBOFLOW)
    path = first_file(candidates)
    if path is None:
        looked_for = " and ".join(map(str, candidates))
        there = ", ".join(_splits(root)) or "none"
        raise UserError(
            f"COCO split '{split}' not found; there is {there}. It was looked for in {looked_for}. {_OTHER_PLACES}."
        )
    if path.name == _ROBOFLOW:
        return path, path.parent
    return path, first_folder((root / split, root / "images" / split), f"COCO images of '{split}'")


def _splits(root: Path) -> list[str]:
    """Return the names of the splits that are there."""
    found = {path.parent.name for path in root.glob(f"*/{_ROBOFLOW}")}
    for folder in (root, root / "annotations"):
        found.update(path.stem.removeprefix("instances_") for path in folder.glob("instances_*.json"))
    return sorted(found)


def _without_group(content: dict[str, Any]) -> None:
    """Remove Roboflow's group of all classes, which is a category that no box has."""
    categories = content.get("categories")
    if not isinstance(categories, list) or not all(isinstance(one, dict) for one in categories):
        return
    annotations = content.get("annotations") or []
    used = [one.get("category_id") for one in annotations if isinstance(one, dict)]
    for group in categories:
        others = [one for one in categories if one is not group]
        over_all = bool(others) and all(one.get("supercategory") == group.get("name") for one in others)
        if over_all and group.get("supercategory") == "none" and group.get("id") not in used:
            content["categories"] = others
            return


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file of COCO annotations.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}). Restore or export it again.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: COCO annotations are an object with 'images', 'annotations' and 'categories'.")
    return content


def _by_id(path: Path, content: Mapping[str, Any], kind: str, parse: Callable[[Any], T]) -> dict[int, T]:
    """Parse the records of one kind; an error names the file, the kind and the record."""
    records = content.get(kind)
    if not isinstance(records, list):
        raise UserError(
            f"{path}: '{kind}' must be a list; COCO annotations have 'images', 'annotations', 'categories'."
        )
    found: dict[int, T] = {}
    for position, record in enumerate(records):
        # The message gets more exact as more of the record is known.
        where = f"{path}: {kind}[{position}]"
        try:
            if not isinstance(record, dict):
                raise ValueError(f"{record!r:.40} must be an object")
            number = _whole(record["id"])
            where += f" with id {number}"
            value = parse(record)
        except KeyError as error:
            raise UserError(f"{where} has no {error}; add it.") from error
        except (TypeError, ValueError, OverflowError) as error:
            raise UserError(f"{where}: {error}.") from error
        if number in found:
            raise UserError(f"{where}: this id was there before; give each of the {kind} its own.")
        found[number] = value
    return found


def _image(record: Mapping[str, Any]) -> tuple[str, tuple[int, int]]:
    """Parse file name and (height, width) of one image."""
    name = record["file_name"]
    height = _whole(record["height"])
    width = _whole(record["width"])
    if not isinstance(name, str):
        raise ValueError(f"file_name must be a path, not {name!r}")
    if height < 1 or width < 1:
        raise ValueError(f"an image of {width} x {height} pixels; write the size that the file has")
    return name, (height, width)


def _annotation(
    record: Mapping[str, Any], images: Collection[int], labels: Mapping[int, int]
) -> tuple[int, Annotation]:
    """Parse the image id and the box of one annotation."""
    image, category = record["image_id"], record["category_id"]
    if image not in images:
        raise ValueError(f"image_id {image!r} is the id of no image; add the image or remove the annotation")
    if category not in labels:
        raise ValueError(f"category_id {category!r} is the id of no category; add it or remove the annotation")
    box = [float(value) for value in record["bbox"]]
    if len(box) != 4 or not all(math.isfinite(value) for value in box):
        raise ValueError(f"bbox must be four numbers, x, y, width and height, not {record['bbox']!r}")
    x, y, width, height = box
    # The area is that of the mask, where the file has one.
    area = width * height
    if record.get("area") is not None:
        area = float(record["area"])
    corners = (x, y, x + width, y + height)
    return int(image), Annotation(corners, labels[category], _crowd(record), area)


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


def _whole(value: Any) -> int:
    if not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{value!r} must be a whole number")
    return int(value)


def _require_files(path: Path, folder: Path, names: list[str]) -> None:
    missing = [name for name in names if not join_path(folder, name).is_file()]
    if missing:
        raise UserError(
            f"{len(missing)} of {len(names)} images of {path} are not in {folder}, the first: {missing[0]}. "
            f"{_OTHER_PLACES}."
        )
