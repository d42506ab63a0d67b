"""Class names, colors and the ignore index: ``classes.json`` of a dataset, and those of benchmarks."""

import colorsys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from densekd.errors import UserError
from densekd.parsers import load_json


@dataclass(frozen=True)
class Classes:
    """Class names, colors and the ignore index of a dataset.

    Args:
        names: C class names; label c means names[c].
        palette: C RGB colors, 0..255.
        ignore_index: label of pixels that are neither learned nor scored.
        submission: what the benchmark's server wants for each class, if not the class number.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ignore_index: int = 255
    submission: tuple[int, ...] = ()


def read_classes(path: Path) -> Classes:
    """Read class names, palette and ignore index.

    Raises:
        UserError: a missing or malformed file.
    """
    try:
        return parse_classes(load_json(path, small=True))
    except FileNotFoundError as error:
        raise UserError(f'{path}: missing. Write {{"names": ["road", "car", ...]}} there.') from error
    except (OSError, OverflowError, TypeError, KeyError, ValueError) as error:
        raise malformed(path, error) from error


def malformed(path: Path, error: Exception) -> UserError:
    """Return the error for a ``classes.json`` that is not one; it shows what one looks like."""
    return UserError(f'{path}: expected {{"names": [...], "palette": [[r, g, b], ...], "ignore_index": 255}}; {error}.')


def published_classes(name: str) -> Classes:
    """Return the classes of a benchmark that ``densekd`` knows, from the JSON files beside this one."""
    return read_classes(Path(__file__).parent / f"{name}.json")


def parse_classes(content: Mapping[str, Any]) -> Classes:
    """Return the classes that the content of a ``classes.json`` describes.

    Raises:
        KeyError: no names.
        TypeError: a value of another type.
        ValueError: names, colors or numbers that do not fit.
    """
    if isinstance(content["names"], str):
        raise ValueError("names must be a list")
    # A label is one byte, and one of its values marks ignored pixels.
    names = tuple(map(str, content["names"]))
    if not names or len(names) > 255:
        raise ValueError(f"there are {len(names)} names; 1 to 255 can be told apart in 8 bits")
    twice = _first_duplicate(names)
    if twice is not None:
        raise ValueError(f"the name '{twice}' is there twice")
    if "palette" in content:
        palette = _parse_palette(content["palette"], len(names))
    else:
        palette = tuple(distinct_colors(len(names)))
    ignore_index = int(content.get("ignore_index", 255))
    if ignore_index in range(len(names)) or ignore_index not in range(256):
        raise ValueError(f"ignore_index {ignore_index} must lie in 0..255 and be no class")
    submission = tuple(map(int, content.get("submission", ())))
    if len(submission) not in (0, len(names)):
        raise ValueError(f"there are {len(names)} names but {len(submission)} submission values")
    return Classes(names, palette, ignore_index, submission)


def _parse_palette(content: Any, count: int) -> tuple[tuple[int, int, int], ...]:
    """Check the colors of ``count`` classes."""
    palette = tuple((int(r), int(g), int(b)) for r, g, b in content)
    if len(palette) != count:
        raise ValueError(f"there are {count} names but {len(palette)} colors")
    for color in palette:
        if min(color) < 0 or max(color) > 255:
            raise ValueError(f"the color {color} must lie in 0..255")
    return palette


def _first_duplicate(names: Sequence[str]) -> str | None:
    for name in names:
        if names.count(name) > 1:
            return name
    return None


def distinct_classes(names: Sequence[str], source: Path) -> Classes:
    """Return classes of these names, each in a color of its own.

    Args:
        names: of the C classes.
        source: the file they are from, for the message.

    Raises:
        UserError: two classes of one name.
    """
    twice = _first_duplicate(names)
    if twice is not None:
        raise UserError(f"{source}: two classes are named '{twice}'; rename one, or remove the one that is not used.")
    return Classes(tuple(names), tuple(distinct_colors(len(names))))


def distinct_colors(count: int) -> list[tuple[int, int, int]]:
    """Return ``count`` RGB colors that differ in hue, then in brightness."""
    colors = []
    for k in range(count):
        # Steps of the golden ratio spread any number of hues around the color wheel.
        hue = k * 0.618 % 1
        saturation = 0.75 - 0.25 * (k % 2)
        brightness = 0.95 - 0.25 * (k % 3)
        r, g, b = colorsys.hsv_to_rgb(hue, saturation, brightness)
        colors.append((round(255 * r), round(255 * g), round(255 * b)))
    return colors
