"""Boxes in YOLO's text files, as Ultralytics reads them: a line for each box, in shares of the image."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import yaml

from densekd.data.annotations import Annotation, stacked
from densekd.data.classes import distinct_classes
from densekd.data.detection import DetectionFiles, DetectionItem
from densekd.data.files import IMAGE_SUFFIXES, find, image_size, read_lines, read_text
from densekd.data.listing import join_path
from densekd.errors import UserError

Corners = tuple[float, float, float, float]

# Corners of a box at the border may be a rounding error outside.
_SLACK = 0.01


def yolo(root: Path, split: str) -> DetectionFiles:
    """Boxes in YOLO's text files with a data.yaml, as Ultralytics reads them.

    Layout: ``data.yaml`` (or any one ``.yaml``) with ``names``, a list or a mapping from number to
    name, and for each split a folder of images, a ``.txt`` that lists images, or a list of these,
    relative to ``path`` or to the file. The boxes of ``.../images/x.jpg`` are in
    ``.../labels/x.txt`` (without a folder ``images``: beside it), one in a line: class, then center
    x, center y, width and height between 0 and 1; or class and the points of a polygon, x and y of
    each, around which the box is drawn. An image without a file has no boxes.

    Args:
        root: the folder that holds it, or the file itself.
        split: a key of the file: ``train``, ``val``, ``test``.

    Raises:
        UserError: no or a malformed ``data.yaml``, no classes, an unknown split, no images, a
            missing image or a malformed line.
    """
    path = _description(root)
    content = _read(path)
    names = _names(path, content.get("names"))
    if content.get(split) is None:
        known = [key for key in ("train", "val", "test") if content.get(key)]
        raise UserError(f"{path}: no split '{split}'; there is {', '.join(known) or 'none'}.")
    # A split is one place or a list of them: folders of images, or lists.
    home = path.parent / str(content.get("path") or ".")
    places = content[split]
    if not isinstance(places, list):
        places = [places]
    images: set[Path] = set()
    for place in places:
        images.update(_images(path, home, str(place)))
    if not images:
        raise UserError(f"{path}: no images in {', '.join(map(str, places))} ({', '.join(IMAGE_SUFFIXES)}).")
    items = []
    # YOLO gives its images no numbers; results files count them from 1 in the order of the paths.
    for number, image in enumerate(sorted(images), 1):
        items.append(_item(image, number, len(names)))
    numbers = tuple(range(len(names)))
    return DetectionFiles(distinct_classes(names, path), tuple(items), numbers, _beside(sorted(images)))


def _description(root: Path) -> Path:
    """Find ``data.yaml``, or the only YAML file in the root."""
    if root.is_file():
        return root
    if (root / "data.yaml").is_file():
        return root / "data.yaml"
    found = sorted(root.glob("*.yaml"))
    if len(found) == 1:
        return found[0]
    there = "there is none"
    if found:
        there = f"there are {', '.join(path.name for path in found)}"
    raise UserError(f"{root}: looked for one data.yaml with 'names', 'train' and 'val'; {there}.")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not readable as YAML ({error}).") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected 'names', 'train' and 'val'.")
    return content


def _names(path: Path, names: Any) -> list[str]:
    """Return the class names from a list, or from a mapping of the numbers 0 to C - 1."""
    if isinstance(names, dict):
        # Some tools write the numbers in quotes.
        names = {_unquoted(key): name for key, name in names.items()}
        if set(names) != set(range(len(names))):
            raise UserError(
                f"{path}: 'names' must name the classes 0 to {len(names) - 1}; it has {', '.join(map(str, names))}."
            )
        names = [name for _, name in sorted(names.items())]
    if not isinstance(names, list) or not names:
        raise UserError(f"{path}: 'names' must list the classes, at least one.")
    return [str(name) for name in names]


def _unquoted(key: Any) -> Any:
    return int(key) if isinstance(key, str) and key.isdecimal() else key


def _images(path: Path, home: Path, place: str) -> list[Path]:
    """List the images of a folder or of a list of images."""
    # Roboflow writes ../train/images where train/images is meant.
    place = place.replace("\\", "/")
    candidates = (home / place, path.parent / place, path.parent / place.removeprefix("../"))
    existing = [one for one in candidates if one.exists()]
    if not existing:
        looked_for = " and ".join(dict.fromkeys(map(str, candidates)))
        raise UserError(f"{path}: '{place}' not found; looked for {looked_for}.")
    found = existing[0]
    if found.is_dir():
        return list(find(found, IMAGE_SUFFIXES).values())
    images = []
    for line in read_lines(found):
        name = line.strip()
        # In a list, ./ is the list's own folder.
        folder = found.parent if name.startswith(("./", ".\\")) else home
        images.append(join_path(folder, name))
    return images


def _item(image: Path, number: int, classes: int) -> DetectionItem:
    """Read the boxes of one image."""
    height, width = image_size(image)
    path = _label_path(image)
    lines = read_text(path).splitlines() if path.is_file() else []
    boxes = []
    for position, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            label, *shape = _numbers(line.split(), classes)
        except ValueError as error:
            raise UserError(f"{path}, line {position}: {error}, not '{line}'.") from error
        corners, area = _box(shape, width, height)
        boxes.append(Annotation(corners, int(label), False, area))
    return DetectionItem(image.stem, image, number, (height, width), stacked(boxes))


def _beside(images: Sequence[Path]) -> tuple[str, ...]:
    """Remark on text files that lie beside their images and are not read."""
    unread = []
    for image in images:
        beside, label = image.with_suffix(".txt"), _label_path(image)
        if beside != label and beside.is_file() and not label.is_file():
            unread.append((beside, label))
    if not unread:
        return ()
    beside, label = unread[0]
    return (
        f"boxes: {len(unread)} of {len(images)} images have a .txt beside them that is not read, the first: {beside}; "
        f"their boxes are looked for in {label.parent}. Move the files there.",
    )


def _box(shape: Sequence[float], width: int, height: int) -> tuple[Corners, float]:
    """Return corners and area in pixels of a box, or of the box around a polygon.

    Args:
        shape: center, width and height, or three points and more, in shares of the image.
        width: of the image.
        height: of the image.
    """
    if len(shape) == 4:
        x, y, w, h = shape
        corners = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
        return corners, w * width * h * height
    xs = [x * width for x in shape[::2]]
    ys = [y * height for y in shape[1::2]]
    # The area is the polygon's own, by the shoelace formula, as COCO's is that of the mask.
    twice = 0.0
    for k in range(len(xs)):
        twice += xs[k - 1] * ys[k] - xs[k] * ys[k - 1]
    return (min(xs), min(ys), max(xs), max(ys)), abs(twice) / 2


def _label_path(image: Path) -> Path:
    """Find the text file of an image: ``labels`` takes the place of the last ``images`` in its path."""
    parts = list(image.parts)
    for k in reversed(range(len(parts) - 1)):
        if parts[k] == "images":
            parts[k] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _numbers(words: Iterable[str], classes: int) -> list[float]:
    """Parse one line: class, then center x, center y, width, height, or the points of a polygon."""
    numbers = [float(word) for word in words]
    if len(numbers) != 5 and (len(numbers) < 7 or len(numbers) % 2 == 0):
        raise ValueError(
            "expected a class and the box's center x, center y, width and height, or x and y of a polygon's points"
        )
    if numbers[0] not in range(classes):
        raise ValueError(f"the class must be 0 to {classes - 1}")
    if not all(math.isfinite(value) and -_SLACK <= value <= 1 + _SLACK for value in numbers[1:]):
        raise ValueError("the box must be in shares of the image's width and height, between 0 and 1")
    return numbers
