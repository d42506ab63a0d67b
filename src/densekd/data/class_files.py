"""Class descriptions beside label files: ``classes.json``, CVAT's labelmap.txt, Roboflow's _classes.csv."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from densekd.data.classes import Classes, distinct_classes, malformed, parse_classes, read_classes
from densekd.data.files import read_lines, read_text
from densekd.data.label_coding import Color
from densekd.errors import UserError
from densekd.parsers import load_json, whole_number
from densekd.parsers.files import exists

ROBOFLOW = "_classes.csv"
CVAT = "labelmap.txt"


@dataclass(frozen=True)
class ClassFile:
    """Classes as a file describes them, and what it says of the label files.

    Args:
        path: of the file.
        classes: names and colors.
        palette: True where the colors are the file's own.
        ignored: True where the file says which value is void.
        void: values and colors of the label files that mean nothing.
        numbers: value in the label files -> name, where the file says it.
    """

    path: Path
    classes: Classes
    palette: bool = False
    ignored: bool = False
    void: tuple[int | Color, ...] = ()
    numbers: Mapping[int, str] = field(default_factory=dict)


def read_class_file(root: Path, folders: tuple[Path, ...]) -> ClassFile:
    """Read ``classes.json``, or what an export has in its place.

    Args:
        root: of the data.
        folders: of the labels, where Roboflow puts its file.

    Raises:
        UserError: no such file, or a malformed one.
    """
    path = root / "classes.json"
    if exists(path):
        return _read_json(path)
    if (root / CVAT).is_file():
        return _read_labelmap(root / CVAT)
    for folder in (root, *folders):
        if (folder / ROBOFLOW).is_file():
            return _read_csv(folder / ROBOFLOW)
    # The message says what to write.
    return ClassFile(path, read_classes(path))


def _read_json(path: Path) -> ClassFile:
    try:
        content = _with_names(load_json(path, small=True))
        void = _void(content.pop("void", []))
        # Zero is what many tools write for pixels of no class.
        if content.get("ignore_index") == 0:
            void = (0, *void)
            content.pop("ignore_index")
        classes = parse_classes(content)
    except (OSError, OverflowError, TypeError, KeyError, ValueError) as error:
        raise malformed(path, error) from error
    return ClassFile(path, classes, "palette" in content, "ignore_index" in content, void)


def _with_names(content: Any) -> dict[str, Any]:
    """Return the content of a file under its keys; names alone are a list, or a mapping of their numbers."""
    if isinstance(content, list):
        return {"names": content}
    if not isinstance(content, dict):
        raise ValueError(f"it holds {content!r:.40}, not an object with 'names'")
    numbers = {key for key in content if key.isdecimal()}
    if not numbers or numbers != set(content):
        return dict(content)
    if {whole_number(key) for key in numbers} != set(range(len(numbers))):
        raise ValueError(f"its classes are numbered {', '.join(content)}, not from 0 to {len(numbers) - 1}")
    return {"names": [content[key] for key in sorted(content, key=int)]}


def _void(value: Any) -> tuple[int | Color, ...]:
    """Parse ``void``: a value, or a list of values and colors."""
    listed = value if isinstance(value, list) else [value]
    found: list[int | Color] = []
    for one in listed:
        if isinstance(one, list):
            r, g, b = one
            found.append((int(r), int(g), int(b)))
        else:
            found.append(int(one))
    return tuple(found)


def _read_labelmap(path: Path) -> ClassFile:
    """Read lines ``name:r,g,b:parts:actions``."""
    names: list[str] = []
    palette: list[Color] = []
    for line in read_lines(path):
        if line.startswith("#"):
            continue
        # A name may have a colon; what follows it has exactly three.
        parts = line.rsplit(":", 3)
        try:
            r, g, b = parts[1].split(",")
            palette.append((int(r), int(g), int(b)))
        except (IndexError, ValueError) as error:
            raise UserError(f"{path}: expected lines 'name:r,g,b::', not '{line}'.") from error
        names.append(parts[0].strip())
    try:
        classes = parse_classes({"names": names, "palette": palette})
    except ValueError as error:
        raise UserError(f"{path}: {error}.") from error
    return ClassFile(path, classes, palette=True)


def _read_csv(path: Path) -> ClassFile:
    """Read a header, then lines ``pixel value, class``."""
    numbers: dict[int, str] = {}
    for row in _rows(path)[1:]:
        if not row:
            continue
        try:
            value, name = int(row[0]), row[1].strip()
        except (IndexError, ValueError) as error:
            raise UserError(f"{path}: expected lines 'pixel value, class', not '{','.join(row)}'.") from error
        if value not in range(256):
            raise UserError(f"{path}: {name} has pixel value {value}; label files hold 0 to 255.")
        if value in numbers:
            raise UserError(f"{path}: pixel value {value} is {numbers[value]} and {name}; leave one.")
        numbers[value] = name
    if not numbers:
        raise UserError(f"{path}: no classes; expected a header and lines 'pixel value, class'.")
    names = [name for _, name in sorted(numbers.items())]
    return ClassFile(path, distinct_classes(names, path), numbers=dict(sorted(numbers.items())))


def _rows(path: Path) -> list[list[str]]:
    """Read the rows of a CSV file."""
    try:
        return list(csv.reader(io.StringIO(read_text(path), newline="")))
    except csv.Error as error:
        raise UserError(f"{path}: not readable as CSV ({error}).") from error
