"""Shapes of an export as label maps for segmentation, or as boxes for detection."""

import io
from collections.abc import Mapping
from typing import Literal, NamedTuple

from PIL import Image

from densekd.data.annotations import Annotation, stacked
from densekd.data.class_order import spelled
from densekd.data.classes import Classes, distinct_classes, distinct_colors
from densekd.data.detection import DetectionFiles, DetectionItem
from densekd.data.exports.rasterize import draw
from densekd.data.exports.shapes import Export, Shape, area, extent
from densekd.data.files import SegmentationFiles
from densekd.data.found import Item
from densekd.data.relabel import relabel
from densekd.errors import UserError

Unlabelled = Literal["auto", "background", "void"]
"""What pixels are that no shape covers: a class ``background`` (auto: and say so), or void."""

_BACKGROUND = "background"
_VOID = 255


class DrawnLabel(NamedTuple):
    """Stands where a label file would: shapes, which are drawn when it is read.

    Args:
        shapes: of one image.
        size: (height, width) of the image.
        numbers: pairs of a class's name and its label; None is void's.
        fill: label where no shape is.
        name: of the image, for messages.
    """

    shapes: tuple[Shape, ...]
    size: tuple[int, int]
    numbers: tuple[tuple[str | None, int], ...]
    fill: int
    name: str

    def read_bytes(self) -> bytes:
        """Return a PNG of class numbers."""
        label = draw(self.shapes, self.size, dict(self.numbers), self.fill)
        # It is decoded again at once: compressing well is for nothing.
        buffer = io.BytesIO()
        Image.fromarray(label).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    @property
    def suffix(self) -> str:
        """The suffix of the format."""
        return ".png"

    def __str__(self) -> str:
        """Return the name of the image."""
        return f"{self.name} (its annotations)"


def as_masks(
    export: Export, unlabelled: Unlabelled, ignore: tuple[str, ...], meaning: Mapping[str, str | None]
) -> SegmentationFiles:
    """Draw the shapes of every image as a label map, when it is read.

    Args:
        export: the images of a split, and the classes of all.
        unlabelled: what pixels without a shape are.
        ignore: names of classes whose pixels become void.
        meaning: name of a class -> name of the class that it becomes; None: void.

    Raises:
        UserError: no class, two of one name, or more than 255.
        RecipeError: ``ignore`` or ``meaning`` name no class.
    """
    described = _with_background(export, unlabelled)
    names = described.names
    if len(names) > _VOID:
        raise UserError(f"{export.path}: {len(names)} classes; 255 can be told apart in 8 bits.")
    background = _background_of(names)
    fill = _VOID
    if unlabelled != "void" and background is not None:
        fill = names.index(background)
    notes = export.notes
    # What was chosen for people is said; what they chose is not.
    if unlabelled == "auto":
        choice = f"labels: pixels that no annotation covers are '{background}'"
        notes = (*notes, f"{choice}; data.options: {{unlabelled: void}} ignores them.")
    numbers: dict[str | None, int] = {None: _VOID}
    numbers.update({name: number for number, name in enumerate(names)})
    pairs = tuple(numbers.items())
    items = []
    for one in export.images:
        label = DrawnLabel(one.shapes, one.size, pairs, fill, str(one.image))
        items.append(Item(one.stem, one.image, label))
    # What merges, renames and drops classes is what does so for label files.
    leads: dict[int | str, int | str | None] = {}
    for name, target in meaning.items():
        leads[name] = target
    classes, label_map = relabel(described, dict(enumerate(names)), ignore, leads)
    if all(value == label for value, label in label_map.items()):
        label_map = {}
    return SegmentationFiles(classes, tuple(items), label_map, notes=notes)


def as_boxes(export: Export) -> DetectionFiles:
    """Return the box around every shape of a class.

    Raises:
        UserError: no class, or two of one name.
    """
    labels = {name: number for number, name in enumerate(export.names)}
    items = []
    for number, one in enumerate(export.images, 1):
        boxes = []
        for name, geometry in one.shapes:
            if name is not None:
                boxes.append(Annotation(extent(geometry), labels[name], False, area(geometry)))
        items.append(DetectionItem(one.stem, one.image, number, one.size, stacked(boxes)))
    numbers = tuple(range(len(export.names)))
    return DetectionFiles(_classes(export), tuple(items), numbers, export.notes)


def _with_background(export: Export, unlabelled: Unlabelled) -> Classes:
    """Return the classes, with a first one for pixels without a shape where none is for them."""
    classes = _classes(export)
    if unlabelled == "void" or _background_of(classes.names) is not None:
        return classes
    names = (_BACKGROUND, *classes.names)
    if not export.palette:
        return distinct_classes(names, export.path)
    black = (0, 0, 0)
    if black in classes.palette:
        return distinct_classes(names, export.path)
    return Classes(names, (black, *classes.palette))


def _classes(export: Export) -> Classes:
    classes = distinct_classes(export.names, export.path)
    if not export.palette:
        return classes
    if len(set(export.palette)) < len(export.names):
        return Classes(export.names, tuple(distinct_colors(len(export.names))))
    return Classes(export.names, export.palette)


def _background_of(names: tuple[str, ...]) -> str | None:
    """Return the class that is for what nothing else is: background, _background_, ..."""
    for name in names:
        if spelled(name) == _BACKGROUND:
            return name
    return None
