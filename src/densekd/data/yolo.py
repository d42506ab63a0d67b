"""Boxes in YOLO's text files, as Ultralytics reads them: a line for each box, in shares of the image."""

from collections.abc import Sequence
from pathlib import Path

from densekd.data.annotations import Annotation, stacked
from densekd.data.classes import distinct_classes
from densekd.data.detection import DetectionFiles, DetectionItem
from densekd.data.files import image_size
from densekd.data.holdout import Holdout, held_out
from densekd.data.yolo_text import lines_of, notes_of_split, read_yolo

Corners = tuple[float, float, float, float]


def yolo(root: Path, split: str, holdout: Holdout | None = None) -> DetectionFiles:
    """Boxes in YOLO's text files with a data.yaml, as Ultralytics reads them.

    Layout: ``data.yaml`` (or any one ``.yaml``) with ``names``, a list or a mapping from number to
    name, and for each split a folder of images, a ``.txt`` that lists images, or a list of these,
    relative to ``path`` or to the file. The boxes of ``.../images/x.jpg`` are in
    ``.../labels/x.txt`` (without a folder ``images``: beside it), one in a line: class, then center
    x, center y, width and height between 0 and 1; or class and the points of a polygon, x and y of
    each, around which the box is drawn. An image without a file has no boxes. Without splits, or
    with ``classes.txt`` in place of ``data.yaml`` (Label Studio), ``data.split`` divides the images.

    Args:
        root: the folder that holds it, or the file itself.
        split: a key of the file: ``train``, ``val``, ``test``.
        holdout: how images without splits are divided; ``data.split`` of a recipe.

    Raises:
        UserError: no or a malformed ``data.yaml``, no classes, an unknown split, no images, a
            missing image or a malformed line.
        RecipeError: ``data.split`` where splits are there.
    """
    found = read_yolo(root, split, holdout)
    home = found.path.parent
    items = []
    # YOLO gives its images no numbers; results files count them from 1 in the order of the paths.
    for number, image in enumerate(found.images, 1):
        items.append(_item(image, number, len(found.names)))
    if found.pooled:
        # Lists tell images of several folders apart.
        named = [item._replace(stem=pooled_stem(item.image, home)) for item in items]
        items = list(held_out(home, split, named, holdout))
    numbers = tuple(range(len(found.names)))
    classes = distinct_classes(found.names, found.path)
    return DetectionFiles(classes, tuple(items), numbers, notes_of_split(found))


def pooled_stem(image: object, home: Path) -> str:
    """Return the path of an image from the root of the data, without suffix."""
    path = Path(str(image)).with_suffix("")
    return path.relative_to(home).as_posix() if path.is_relative_to(home) else path.as_posix()


def _item(image: Path, number: int, classes: int) -> DetectionItem:
    """Read the boxes of one image."""
    height, width = image_size(image)
    boxes = []
    for label, shape in lines_of(image, classes):
        corners, area = _box(shape, width, height)
        boxes.append(Annotation(corners, label, False, area))
    return DetectionItem(image.stem, image, number, (height, width), stacked(boxes))


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
