"""COCO's JSON, its records by id, and where it lies: official, Roboflow's, CVAT's and Label Studio's places."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np

from densekd.data.files import first_file, first_folder
from densekd.data.holdout import ALL, Holdout, has_lists
from densekd.data.inside import is_inside
from densekd.errors import RecipeError, UserError
from densekd.parsers import load_json
from densekd.parsers.files import is_file

T = TypeVar("T")
ROBOFLOW = "_annotations.coco.json"
# Sums of two such numbers are finite in float32.
LARGEST = float(np.finfo(np.float32).max) / 2
_LABEL_STUDIO = "result.json"
_OTHER_PLACES = "Elsewhere, say FILE.json@FOLDER in place of the split's name"


class CocoImage(NamedTuple):
    """One image: its name without suffix, its file, and (height, width)."""

    stem: str
    path: Path
    size: tuple[int, int]


@dataclass(frozen=True)
class CocoFile:
    """A file of annotations.

    Args:
        path: of the file.
        content: of the file, without Roboflow's group of all classes.
        names: of the categories, sorted by id: the classes 0..C-1.
        categories: their ids.
        images: by id.
        pooled: True where the images of several splits are in the file.
    """

    path: Path
    content: dict[str, Any]
    names: tuple[str, ...]
    categories: tuple[int, ...]
    images: Mapping[int, CocoImage]
    pooled: bool


def read_coco(root: Path, split: str, holdout: Holdout | None) -> CocoFile:
    """Find and read the file of a split, or the only one, whose images lists or a draw divide.

    Args:
        root: of the data.
        split: its name, or ``FILE.json@FOLDER``.
        holdout: how to divide the images of the only file; None: not.

    Raises:
        UserError: a missing file or image, malformed JSON, no image, no category, or an id that
            occurs twice.
        RecipeError: a draw where splits are there.
    """
    path, folder, pooled = annotation_file(root, split, holdout)
    content = _read(path)
    # Files of test images have no annotations.
    content.setdefault("annotations", [])
    if path.name == ROBOFLOW:
        without_group(content)
    names = by_id(path, content, "categories", lambda record: str(record["name"]))
    images = by_id(path, content, "images", _image)
    if not names or not images:
        what = "images" if names else "categories"
        raise UserError(f"{path}: '{what}' is empty, so there is nothing to learn; is this the right file?")
    folders = [folder]
    if pooled:
        # CVAT's images lie in folders beside annotations/, Label Studio's beside the file.
        subset = path.stem.removeprefix("instances_")
        folders = [root / "images" / subset, root / subset, root / "images", root, path.parent]
    found = _located(path, root, folders, images)
    categories = tuple(sorted(names))
    return CocoFile(path, content, tuple(names[one] for one in categories), categories, found, pooled)


def annotation_file(root: Path, split: str, holdout: Holdout | None) -> tuple[Path, Path, bool]:
    """Find the file of a split and the folder of its images; True where it holds the images of several splits.

    Raises:
        UserError, RecipeError: as :func:`read_coco`.
    """
    only = _only_file(root, split, holdout)
    if only is not None:
        return only, only.parent, True
    return *_places(root, split), False


def _only_file(root: Path, split: str, holdout: Holdout | None) -> Path | None:
    """Return the only file of annotations where its images are divided; None where splits have their own."""
    divided = has_lists(root) or split == ALL
    if holdout is None and (not divided or _official(root, split) is not None):
        return None
    patterns = ("annotations/instances_*.json", "instances_*.json", f"*/{ROBOFLOW}", ROBOFLOW, _LABEL_STUDIO)
    found = [path for pattern in patterns for path in sorted(root.glob(pattern))]
    if len(found) > 1 and holdout is not None:
        listed = ", ".join(_splits(root))
        raise RecipeError(f"data.split: {root} has splits already, {listed}; remove data.split from the recipe.")
    return found[0] if len(found) == 1 else None


def _official(root: Path, split: str) -> Path | None:
    return first_file(_candidates(root, split))


def _candidates(root: Path, split: str) -> tuple[Path, ...]:
    official = f"instances_{split}.json"
    return root / "annotations" / official, root / official, root / split / ROBOFLOW


def _places(root: Path, split: str) -> tuple[Path, Path]:
    """Return the file of annotations and the folder of images."""
    file, at, folder = split.partition(".json@")
    if at:
        return root / f"{file}.json", root / folder
    path = _official(root, split)
    if path is None:
        looked_for = " and ".join(map(str, _candidates(root, split)))
        there = ", ".join(_splits(root)) or "none"
        raise UserError(
            f"COCO split '{split}' not found; there is {there}. It was looked for in {looked_for}. {_OTHER_PLACES}; "
            "data.split: {val: 0.2, seed: 0} divides the images of a single file."
        )
    if path.name == ROBOFLOW:
        return path, path.parent
    return path, first_folder((root / split, root / "images" / split), f"COCO images of '{split}'")


def _splits(root: Path) -> list[str]:
    """Return the names of the splits that are there."""
    found = {path.parent.name for path in root.glob(f"*/{ROBOFLOW}")}
    for folder in (root, root / "annotations"):
        found.update(path.stem.removeprefix("instances_") for path in folder.glob("instances_*.json"))
    return sorted(found)


def without_group(content: dict[str, Any]) -> None:
    """Remove Roboflow's group of all classes, which is a category that no annotation has."""
    categories = content.get("categories")
    if not isinstance(categories, list) or not all(isinstance(one, dict) for one in categories):
        return
    annotations = content.get("annotations")
    if not isinstance(annotations, list):
        return
    used = [one.get("category_id") for one in annotations if isinstance(one, dict)]
    for group in categories:
        others = [one for one in categories if one is not group]
        over_all = bool(others) and all(one.get("supercategory") == group.get("name") for one in others)
        if over_all and group.get("supercategory") == "none" and group.get("id") not in used:
            content["categories"] = others
            return


def _read(path: Path) -> dict[str, Any]:
    try:
        content = load_json(path)
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file of COCO annotations.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({error}). Restore or export it again.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: COCO annotations are an object with 'images', 'annotations' and 'categories'.")
    return content


def by_id(path: Path, content: Mapping[str, Any], kind: str, parse: Callable[[Any], T]) -> dict[int, T]:
    """Parse the records of one kind; an error names the file, the kind and the record.

    Args:
        path: of the file, for messages.
        content: of the file.
        kind: ``images``, ``annotations`` or ``categories``.
        parse: of one record; what it raises is said with the record's place.

    Raises:
        UserError: a record that is malformed, or whose id was there before.
    """
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


def belongs(record: Mapping[str, Any], file: CocoFile, labels: Mapping[int, int]) -> tuple[int, int]:
    """Return the image id and the class of an annotation.

    Args:
        record: the annotation.
        file: of the annotation.
        labels: category id -> class.

    Raises:
        ValueError: an unknown image or category.
    """
    image, category = record["image_id"], record["category_id"]
    # A list or an object is no key of a dict.
    if isinstance(image, list | dict) or image not in file.images:
        raise ValueError(f"image_id {image!r} is the id of no image; add the image or remove the annotation")
    if isinstance(category, list | dict) or category not in labels:
        raise ValueError(f"category_id {category!r} is the id of no category; add it or remove the annotation")
    return int(image), labels[category]


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


def _whole(value: Any) -> int:
    if not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{value!r} must be a whole number")
    return int(value)


def _located(
    path: Path, root: Path, folders: Sequence[Path], images: Mapping[int, tuple[str, tuple[int, int]]]
) -> dict[int, CocoImage]:
    """Find the file of every image."""
    found: dict[int, CocoImage] = {}
    missing: list[str] = []
    for number, (name, size) in images.items():
        places = _candidates_of(name, folders)
        there = [place for place in places if _allowed(place, (root, *folders))]
        # The first that is a file.
        place = next((place for place in there if is_file(place.path)), None)
        if place is None and len(there) < len(places):
            raise UserError(
                f"{path}: images with id {number}: file_name '{name}' leads out of the data's folder {root}. If that "
                "image is meant, say FILE.json@FOLDER in place of the split's name, with a FOLDER that holds it, or "
                "put a link to its folder into the data's."
            )
        if place is None:
            missing.append(name)
            continue
        found[number] = CocoImage(Path(place.name).with_suffix("").as_posix(), place.path, size)
    if missing:
        looked_in = " or ".join(map(str, folders))
        raise UserError(
            f"{len(missing)} of {len(images)} images of {path} are not in {looked_in}, the first: {missing[0]}. "
            f"{_OTHER_PLACES}."
        )
    return found


class _Place(NamedTuple):
    """Where an image may be, and its name as it is read there."""

    path: Path
    name: str


def _candidates_of(name: str, folders: Sequence[Path]) -> list[_Place]:
    # Windows' tools write backslashes.
    names = dict.fromkeys((name, name.replace("\\", "/")))
    return [_Place(folder / one, one) for folder in folders for one in names]


def _allowed(place: _Place, folders: Sequence[Path]) -> bool:
    """Return whether a place lies in the folders that a person named."""
    written = Path(place.name)
    # Most names have neither, and need no look.
    if not written.is_absolute() and ".." not in written.parts:
        return True
    return is_inside(place.path, folders)
