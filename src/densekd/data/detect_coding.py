"""Detection of how label files are written: numbers from 0 or 1, 0/255, or colors of the palette."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

from PIL import Image

from densekd.data.class_files import ClassFile
from densekd.data.files import content_of
from densekd.data.found import Source
from densekd.data.label_coding import Color, LabelCoding, Survey, listed_colors, open_label, survey
from densekd.data.relabel import Meaning
from densekd.errors import RecipeError, UserError

Coding = Literal["auto", "numbers", "from-one", "binary", "colors"]
Ignore = tuple[int | str | Color, ...]

# Files that are looked at; more where these leave it open.
_SAMPLE = 16
_LARGE_SAMPLE = 400

Surveyor = Callable[[int], Survey]


class Detected(NamedTuple):
    """How label files are read.

    Args:
        coding: of their pixels.
        numbers: value in the files -> name of its class.
        note: what people should know of it, a sentence; empty for numbers from 0.
    """

    coding: LabelCoding
    numbers: dict[int, str]
    note: str = ""


def detect_coding(
    described: ClassFile, labels: Sequence[Source], coding: Coding, ignore: Ignore, meaning: Meaning
) -> Detected:
    """Find out how the label files are read, and which of their values means which class.

    Args:
        described: the classes, and what their file says of the labels.
        labels: label files of all splits, so that all are read alike.
        coding: as asked for.
        ignore: values, names and colors that are void.
        meaning: values that have been given a meaning of their own.

    Raises:
        UserError: files that cannot be read, or colors without a palette.
        RecipeError: a coding that does not fit the classes.
    """
    void = {one for one in ignore if isinstance(one, int)}
    void_colors = {one for one in ignore if isinstance(one, tuple)}
    explained = void | {value for value in meaning if isinstance(value, int)}

    def look(count: int) -> Survey:
        step = max(1, len(labels) // count)
        return survey(_readable(labels[::step][:count]))

    found = look(_SAMPLE)
    # A rare class may be in other files; how it is written shows where it is.
    for count in (_LARGE_SAMPLE, len(labels)):
        if found.numbers == {0} and len(labels) > _SAMPLE:
            found = look(count)
    if coding == "colors" or (coding == "auto" and _are_colors(described, found, explained, void_colors)):
        read, numbers = _by_color(described, void_colors)
        return Detected(read, numbers, f"{described.path}: labels are read by the colors of its palette.")
    if described.numbers:
        return Detected(LabelCoding(), dict(described.numbers))
    names = described.classes.names
    if coding == "binary" or (coding == "auto" and _is_binary(described, look, found, explained)):
        if len(names) != 2:
            raise RecipeError(f"data.options.coding: binary is for two classes; {described.path} has {len(names)}.")
        note = f"{described.path}: labels hold 0 and 255, read as '{names[0]}' and '{names[1]}'."
        return Detected(LabelCoding(), {0: names[0], 255: names[1]}, note)
    if coding == "from-one" or (coding == "auto" and _from_one(described, look, found, void, explained)):
        note = f"{described.path}: labels are numbered from 1, so 1 is '{names[0]}'."
        return Detected(LabelCoding(), dict(enumerate(names, 1)), note)
    note = ""
    if coding == "auto" and 0 in void and names:
        note = f"{described.path}: labels are numbered from 0; 0 is ignored, so the class '{names[0]}' is left out."
    return Detected(LabelCoding(), dict(enumerate(names)), note)


def _are_colors(described: ClassFile, found: Survey, explained: set[int], void: set[Color]) -> bool:
    """Return True where labels are to be read by the colors that a viewer shows."""
    palette = set(described.classes.palette) | void
    if found.colorful and not found.indexed:
        if not palette & found.colors or (not described.palette and not found.colors <= palette):
            raise UserError(_no_palette(described, found))
        return True
    if not described.palette or not found.colors <= palette:
        return False
    # Palette files: the index is the class, unless every color says another one.
    if found.indexed:
        return any(described.classes.palette.index(color) != value for value, color in _named(described, found))
    if found.channels:
        return True
    # Gray values that are no class numbers, and each of them the color of a class.
    known = {*range(len(described.classes.names)), described.classes.ignore_index} | explained
    return not found.numbers <= known


def _named(described: ClassFile, found: Survey) -> list[tuple[int, Color]]:
    """Return the indices and colors of palette files whose color is a class's."""
    return [(value, color) for value, color in found.indexed if color in described.classes.palette]


def _no_palette(described: ClassFile, found: Survey) -> str:
    colors = listed_colors(found.colors)
    return (
        f"{described.path}: the labels are RGB colors, {colors}, and its palette names "
        f'{"none of them" if described.palette else "no colors"}. Write "palette": [[r, g, b], ...], the color of each '
        "class in the label files in the order of the names."
    )


def _by_color(described: ClassFile, void: set[Color]) -> tuple[LabelCoding, dict[int, str]]:
    palette = described.classes.palette
    if len(set(palette)) < len(palette):
        twice = next(color for color in palette if palette.count(color) > 1)
        raise UserError(f"{described.path}: two classes have the color {list(twice)}; labels of colors need one each.")
    colors = {color: value for value, color in enumerate(palette)}
    for color in void:
        colors[color] = described.classes.ignore_index
    return LabelCoding("colors", colors=colors), dict(enumerate(described.classes.names))


def _is_binary(described: ClassFile, look: Surveyor, found: Survey, explained: set[int]) -> bool:
    """Return True for two classes of which the second is written as 255."""
    if len(described.classes.names) != 2 or described.ignored or 255 in explained:
        return False
    if 255 not in found.numbers or not found.numbers <= {0, 255}:
        return False
    # A rare class may be in other files, and 255 be what is ignored.
    return look(_LARGE_SAMPLE).numbers <= {0, 255}


def _from_one(described: ClassFile, look: Surveyor, found: Survey, void: set[int], explained: set[int]) -> bool:
    """Return True where the last class's number is the number of classes, and 0 is void or never occurs."""
    count = len(described.classes.names)
    if count in explained or (described.ignored and described.classes.ignore_index == count):
        return False
    if 0 in found.numbers and 0 not in void:
        return False
    if count in found.numbers:
        return True
    # Zero is said to be void: whether it is one of the names shows in the last number.
    return 0 in void and count in look(_LARGE_SAMPLE).numbers


def _readable(labels: Sequence[Source]) -> list[tuple[Image.Image, str]]:
    """Decode label files, but for damaged ones: whoever reads those later is told of each.

    Raises:
        UserError: none of them can be read; says why for the first.
    """
    pictures: list[tuple[Image.Image, str]] = []
    first: UserError | None = None
    for label in labels:
        try:
            picture = open_label(content_of(label), str(label))
        except (OSError, UserError) as error:
            if first is None:
                first = error if isinstance(error, UserError) else UserError(f"{label}: cannot be read ({error}).")
            continue
        pictures.append((picture, str(label)))
    if first is not None and not pictures:
        raise first
    return pictures
