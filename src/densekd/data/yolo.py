"""Boxes in YOLO's text files, as Ultralytics reads them: one line for each box, in shares of the image's size."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from densekd.data.annotations import Annotation, stacked
from densekd.data.detection import DetectionFiles, DetectionItem
from densekd.data.files import IMAGE_SUFFIXES, find, image_size
from densekd.data.folder import distinct_classes
from densekd.errors import UserError

# Corners of a box at the border may be a rounding error outside.
_SLACK = 0.01


def yolo(root: Path, split: str) -> DetectionFiles:
    """Find the images of one split and read their boxes.

    Layout: ``data.yaml`` (or any one ``.yaml``) with ``names``, a list or a mapping from number to name, and for each
    split a folder of images, a ``.txt`` that lists images, or a list of these, relative to ``path`` or to the file. The
    boxes of ``.../images/x.jpg`` are in ``.../labels/x.txt`` (without a folder ``images``: beside it), one in a line:
    class, then center x, center y, width and height between 0 and 1. An image without a file has no boxes.

    Args:
        root: the folder that holds it, or the file itself.
        split: a key of the file: ``train``, ``val``, ``test``.

    Raises:
        UserError: no or a malformed ``data.yaml``, no classes, an unknown split, no images, a missing image or a
            malformed line.
    """
    path = _description(root)
    content = _read(path)
    names = _names(path, content.get("names"))
    if content.get(split) is None:
        known = ", ".join(key for key in ("train", "val", "test") if content.get(key)) or "none"
        raise UserError(f"{path}: no split '{split}'; there is {known}.")
    home = path.parent / str(content.get("path") or ".")
    places = content[split] if isinstance(content[split], list) else [content[split]]
    images = [image for place in places for image in _images(path, home, str(place))]
    if not images:
        raise UserError(f"{path}: no images in {', '.join(map(str, places))} ({', '.join(IMAGE_SUFFIXES)}).")
    items = tuple(_item(image, number, len(names)) for number, image in enumerate(sorted(set(images)), 1))
    return DetectionFiles(distinct_classes(names, path), items, tuple(range(len(names))))


def _description(root: Path) -> Path:
    if root.is_file():
        return root
    found = [root / "data.yaml"] if (root / "data.yaml").is_file() else sorted(root.glob("*.yaml"))
    if len(found) != 1:
        there = f"there are {', '.join(path.name for path in found)}" if found else "there is none"
        raise UserError(f"{root}: looked for one data.yaml with 'names', 'train' and 'val'; {there}.")
    return found[0]


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(f"{path}: not readable as YAML ({error}).") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected 'names', 'train' and 'val'.")
    return content


def _names(path: Path, names: Any) -> list[str]:
    if isinstance(names, dict):
        if set(names) != set(range(len(names))):
            raise UserError(
                f"{path}: 'names' must name the classes 0 to {len(names) - 1}; it has {', '.join(map(str, names))}."
            )
        names = [names[label] for label in range(len(names))]
    if not isinstance(names, list) or not names:
        raise UserError(f"{path}: 'names' must list the classes, at least one.")
    return [str(name) for name in names]


def _images(path: Path, home: Path, place: str) -> list[Path]:
    """List the images of a folder or of a list of images."""
    # Roboflow writes ../train/images where train/images is meant.
    homes = (home / place, path.parent / place, path.parent / place.removeprefix("../"))
    found = next((one for one in homes if one.exists()), None)
    if found is None:
        raise UserError(f"{path}: '{place}' not found; looked for {' and '.join(dict.fromkeys(map(str, homes)))}.")
    if found.is_dir():
        return list(find(found, IMAGE_SUFFIXES).values())
    lines = (line.strip() for line in found.read_text(encoding="utf-8").splitlines())
    # In a list, ./ is the list's own folder.
    return [found.parent / line if line.startswith("./") else home / line for line in lines if line]


def _item(image: Path, number: int, classes: int) -> DetectionItem:
    height, width = image_size(image)
    path = _label(image)
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    found = []
    for position, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            label, x, y, w, h = _numbers(line.split(), classes)
        except ValueError as error:
            raise UserError(f"{path}, line {position}: {error}, not '{line}'.") from error
        corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        found.append(Annotation(corners, int(label), False, w * width * h * height))
    return DetectionItem(image.stem, image, number, (height, width), stacked(found))


def _label(image: Path) -> Path:
    """Return where the boxes of an image are: in ``labels`` in place of the last ``images`` of its path."""
    parts = list(image.parts)
    if "images" in parts[:-1]:
        last = len(parts) - 2 - parts[-2::-1].index("images")
        parts[last] = "labels"
    return Path(*parts).with_suffix(".txt")


def _numbers(words: Iterable[str], classes: int) -> list[float]:
    numbers = [float(word) for word in words]
    if len(numbers) != 5:
        raise ValueError("expected a class and the box's center x, center y, width and height")
    if numbers[0] not in range(classes):
        raise ValueError(f"the class must be 0 to {classes - 1}")
    if not all(math.isfinite(value) and -_SLACK <= value <= 1 + _SLACK for value in numbers[1:]):
        raise ValueError("the box must be in shares of the image's width and height, between 0 and 1")
    return numbers
