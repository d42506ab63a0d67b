"""YOLO's text files, as Ultralytics reads them: data.yaml, the images of a split, and the lines of each."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from densekd.data.files import IMAGE_SUFFIXES, find, read_lines, read_text
from densekd.data.holdout import ALL, Holdout, has_lists
from densekd.data.inside import outside_note
from densekd.data.listing import join_path
from densekd.errors import RecipeError, UserError
from densekd.parsers import load_yaml, whole_number
from densekd.parsers.files import exists, is_file

# Corners of a box at the border may be a rounding error outside.
_SLACK = 0.01
# What Label Studio and labelImg write in place of data.yaml.
_CLASSES = "classes.txt"


class YoloLine(NamedTuple):
    """One line: a class, and a center, width and height, or the points of a polygon, in shares of the image."""

    label: int
    shape: tuple[float, ...]

    @property
    def is_box(self) -> bool:
        """Return True for a box, False for a polygon."""
        return len(self.shape) == 4


@dataclass(frozen=True)
class YoloSplit:
    """The images of a split.

    Args:
        path: of the file that describes the data.
        names: of the classes.
        images: sorted.
        pooled: True where lists or a draw divide the images.
    """

    path: Path
    names: tuple[str, ...]
    images: tuple[Path, ...]
    pooled: bool


def read_yolo(root: Path, split: str, holdout: Holdout | None) -> YoloSplit:
    """Find the classes and images of a split, or all images, which lists or a draw divide.

    Args:
        root: the folder of the data, or its data.yaml.
        split: a key of data.yaml.
        holdout: how to divide the images where there are no splits; None: not.

    Raises:
        UserError: no or a malformed data.yaml, no classes, an unknown split, or no images.
        RecipeError: a draw where splits are there.
    """
    path = _description(root)
    if path.name == _CLASSES:
        # Without data.yaml all images lie in one folder.
        content: dict[str, Any] = {"names": read_lines(path), "train": "images"}
    else:
        content = _read(path)
    names = _names(path, content.get("names"))
    known = [key for key in ("train", "val", "test") if content.get(key)]
    if holdout is not None and len(known) > 1 and not _same_places(content, known):
        raise RecipeError(
            f"data.split: {path} has splits already, {', '.join(known)}; remove data.split from the recipe."
        )
    pooled = holdout is not None or (len(known) <= 1 and (has_lists(path.parent) or split == ALL))
    key = known[0] if pooled and known else split
    if content.get(key) is None:
        raise UserError(
            f"{path}: no split '{split}'; there is {', '.join(known) or 'none'}. To divide the images, write "
            "data.split: {val: 0.2, seed: 0}."
        )
    # A split is one place or a list of them: folders of images, or lists.
    home = path.parent / str(content.get("path") or ".")
    places = content[key]
    if not isinstance(places, list):
        places = [places]
    images: set[Path] = set()
    for place in places:
        images.update(_images(path, home, str(place)))
    if not images:
        raise UserError(f"{path}: no images in {', '.join(map(str, places))} ({', '.join(IMAGE_SUFFIXES)}).")
    return YoloSplit(path, tuple(names), tuple(sorted(images)), pooled)


def _same_places(content: dict[str, Any], known: Sequence[str]) -> bool:
    """Return True where all splits are the same images, as in files without a validation set."""
    return all(content[key] == content[known[0]] for key in known)


def lines_of(image: Path, classes: int) -> list[YoloLine]:
    """Read the lines of an image's text file; none without a file.

    Raises:
        UserError: a malformed line, or a class that is none.
    """
    path = label_path(image)
    text = read_text(path).splitlines() if is_file(path) else []
    lines = []
    for position, line in enumerate(text, 1):
        if not line.strip():
            continue
        try:
            label, *shape = _numbers(line.split(), classes)
        except ValueError as error:
            raise UserError(f"{path}, line {position}: {error}, not '{line}'.") from error
        lines.append(YoloLine(int(label), tuple(shape)))
    return lines


def _description(root: Path) -> Path:
    """Find ``data.yaml``, the only YAML file in the root, or ``classes.txt``."""
    if root.is_file():
        return root
    if (root / "data.yaml").is_file():
        return root / "data.yaml"
    found = sorted(root.glob("*.yaml"))
    if len(found) == 1:
        return found[0]
    if not found and (root / _CLASSES).is_file():
        return root / _CLASSES
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; relative paths start in {Path.cwd()}.")
    there = "there is none"
    if found:
        there = f"there are {', '.join(path.name for path in found)}"
    raise UserError(f"{root}: looked for one data.yaml with 'names', 'train' and 'val'; {there}.")


def _read(path: Path) -> dict[str, Any]:
    try:
        content = load_yaml(path)
    except (OSError, ValueError) as error:
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
    number = whole_number(key) if isinstance(key, str) else None
    return key if number is None else number


def _images(path: Path, home: Path, place: str) -> list[Path]:
    """List the images of a folder or of a list of images."""
    # Roboflow writes ../train/images where train/images is meant.
    place = place.replace("\\", "/")
    candidates = (home / place, path.parent / place, path.parent / place.removeprefix("../"))
    existing = [one for one in candidates if exists(one)]
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


def notes_of_split(found: YoloSplit) -> tuple[str, ...]:
    """Remark on images outside the data's folder, and on text files that are not read."""
    return (*outside_note(found.images, found.path.parent, found.path), *_beside_images(found.images))


def _beside_images(images: Sequence[Path]) -> tuple[str, ...]:
    """Remark on text files that lie beside their images and are not read."""
    unread = []
    for image in images:
        beside, label = image.with_suffix(".txt"), label_path(image)
        if beside != label and is_file(beside) and not is_file(label):
            unread.append((beside, label))
    if not unread:
        return ()
    beside, label = unread[0]
    return (
        f"boxes: {len(unread)} of {len(images)} images have a .txt beside them that is not read, the first: {beside}; "
        f"their boxes are looked for in {label.parent}. Move the files there.",
    )


def label_path(image: Path) -> Path:
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
