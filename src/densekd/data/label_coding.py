"""Coding of label files: class numbers, RGB colors or 0/255, as their pixels say it."""

import io
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from densekd.data.picture import UNREADABLE, as_shown, opened
from densekd.errors import UserError

Color = tuple[int, int, int]

# More colors than this are a photograph, or a mask with soft edges.
_MANY = 4096
# Modes of one channel, whose values are numbers as they are.
_ONE_CHANNEL = ("1", "L", "P", "I", "I;16", "I;16L", "I;16B", "I;16N")

LOSSY = (
    "JPEG changes pixel values, so the class numbers or colors in it are no longer exact. "
    "Export the labels again as PNG; converting this file keeps its errors"
)


@dataclass(frozen=True)
class LabelCoding:
    """What the pixels of label files say.

    Args:
        kind: ``numbers`` of one channel, or of three equal ones; ``colors`` as a viewer shows them.
        known: values that may occur, as numbers of the file.
        colors: RGB color -> value, for ``colors``.
    """

    kind: Literal["numbers", "colors"] = "numbers"
    known: frozenset[int] = frozenset()
    colors: Mapping[Color, int] = field(default_factory=dict)

    def read(self, content: bytes, name: str) -> np.ndarray:
        """Decode a label file to its values: uint8 ``[H, W]``.

        Args:
            content: of the file.
            name: of the file, for messages.

        Raises:
            UserError: a damaged or lossy file, channels that differ, or an unknown color.
        """
        picture = open_label(content, name)
        if self.kind == "colors":
            return self._of_colors(picture, name)
        return _numbers(picture, name)

    def encode(self, content: bytes, name: str) -> bytes:
        """Return a label file as a PNG of one 8-bit channel with the same values.

        Files that are one already are returned as they are.
        """
        values = self.read(content, name)
        unknown = sorted(set(np.unique(values).tolist()) - self.known)
        if unknown:
            raise UserError(f"{name}: label value {unknown[0]} is no class's; 'densekd data check' says more.")
        picture = open_label(content, name)
        if self.kind == "numbers" and picture.mode in ("L", "P") and picture.format == "PNG":
            return content
        buffer = io.BytesIO()
        Image.fromarray(values).save(buffer, "PNG")
        return buffer.getvalue()

    def _of_colors(self, picture: Image.Image, name: str) -> np.ndarray:
        """Look every pixel's color up."""
        packed = _packed(np.asarray(picture.convert("RGB")))
        known = sorted((_pack(color), value) for color, value in self.colors.items())
        keys = np.array([key for key, _ in known])
        values = np.array([value for _, value in known], dtype=np.uint8)
        place = np.searchsorted(keys, packed).clip(max=len(keys) - 1)
        unknown = keys[place] != packed
        if unknown.any():
            y, x = np.argwhere(unknown)[0]
            color = _unpack(int(packed[y, x]))
            raise UserError(
                f"{name}: the color {list(color)} at row {y}, column {x} is no class's. Add it to the palette of "
                f"the classes, or write data.options: {{ignore: [{list(color)}]}} if it means nothing."
            )
        read: np.ndarray = values[place]
        return read


class Survey(NamedTuple):
    """What some label files hold.

    Args:
        numbers: values of one channel, or of three equal ones.
        colors: shown by a viewer.
        colorful: True where the channels of a file without a color table differ.
        indexed: (number, color) of the pixels of palette files.
        channels: True where a file has several channels.
    """

    numbers: frozenset[int]
    colors: frozenset[Color]
    colorful: bool
    indexed: frozenset[tuple[int, Color]]
    channels: bool


def survey(pictures: Iterable[tuple[Image.Image, str]]) -> Survey:
    """Collect the values and colors of some label files.

    Args:
        pictures: decoded, and the names of their files.

    Raises:
        UserError: one with so many colors, or such numbers, that it is no label.
    """
    numbers: set[int] = set()
    colors: set[Color] = set()
    indexed: set[tuple[int, Color]] = set()
    colorful = False
    channels = False
    for picture, name in pictures:
        if picture.mode in _ONE_CHANNEL:
            found = [int(value) for value in np.unique(_numbers(picture, name))]
            numbers.update(found)
            if picture.mode == "P":
                shown = _table(picture)
                indexed.update((value, shown[value]) for value in found)
                colors.update(shown[value] for value in found)
            else:
                colors.update((value, value, value) for value in found)
            continue
        channels = True
        shown_here = _colors(picture, name)
        colors.update(shown_here)
        colorful = colorful or any(len(set(color)) > 1 for color in shown_here)
        numbers.update(color[0] for color in shown_here)
    return Survey(frozenset(numbers), frozenset(colors), colorful, frozenset(indexed), channels)


def open_label(content: bytes, name: str) -> Image.Image:
    """Decode a label file, turned as its EXIF orientation says.

    Raises:
        UserError: a damaged or lossy file.
    """
    try:
        with opened(content) as stored:
            picture = as_shown(stored)
    except UNREADABLE as error:
        raise UserError(f"{name}: the label cannot be read ({error}). Replace it.") from error
    if picture.format == "JPEG":
        raise UserError(f"{name}: {LOSSY}.")
    return picture


def listed_colors(colors: Collection[Color]) -> str:
    """Write colors as a palette does, the first ten."""
    shown = [str(list(color)) for color in sorted(colors)[:10]]
    if len(colors) > len(shown):
        shown.append(f"{len(colors) - len(shown)} more")
    return ", ".join(shown)


def _numbers(picture: Image.Image, name: str) -> np.ndarray:
    """Return the values of one channel, or of several that are equal."""
    values = np.array(picture)
    if picture.mode not in _ONE_CHANNEL:
        # Transparency says nothing about the class.
        color = values if picture.mode == "RGB" else np.asarray(picture.convert("RGB"))
        values = color[..., 0].copy()
        if (color != values[..., None]).any():
            raise UserError(
                f"{name}: a label must be one channel of class numbers, and the three channels of this picture "
                f"(mode {picture.mode}) differ. If it holds a color for each class, as the other labels do not, "
                "export it like them; if all do, give classes.json a palette."
            )
    if values.dtype != np.uint8:
        if values.size and not (values.min() >= 0 and values.max() <= 255):
            raise UserError(
                f"{name}: label values from {values.min()} to {values.max()}; class numbers are 0 to 255. "
                "Is it a map of instances or of depth?"
            )
        values = values.astype(np.uint8)
    return values


def _colors(picture: Image.Image, name: str) -> set[Color]:
    counted = picture.convert("RGB").getcolors(_MANY)
    if counted is None:
        raise UserError(
            f"{name}: more than {_MANY} colors, so it is a photograph, or was saved with soft edges or loss. "
            "Export the labels again as PNG, one exact color or number for each class."
        )
    found: set[Color] = set()
    for _, color in counted:
        r, g, b = color  # type: ignore[misc]
        found.add((int(r), int(g), int(b)))
    return found


def _table(picture: Image.Image) -> list[Color]:
    """Return the color of each of 256 palette indices."""
    numbers = np.arange(256, dtype=np.uint8)[None]
    row = Image.fromarray(numbers).convert("P")
    palette = picture.getpalette("RGB") or []
    row.putpalette(palette + [0] * (768 - len(palette)))
    table = np.asarray(row.convert("RGB"))[0]
    return [(int(r), int(g), int(b)) for r, g, b in table]


def _pack(color: Color) -> int:
    r, g, b = color
    return r << 16 | g << 8 | b


def _unpack(packed: int) -> Color:
    return packed >> 16, packed >> 8 & 255, packed & 255


def _packed(pixels: np.ndarray) -> np.ndarray:
    """Pack colors ``[H, W, 3]`` into one number a pixel, ``[H, W]``."""
    wide = pixels.astype(np.int32)
    packed: np.ndarray = wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2]
    return packed
