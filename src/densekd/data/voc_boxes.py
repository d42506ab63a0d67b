"""Boxes in Pascal VOC's XML (Everingham et al., 2010): VOC 2007, VOC 2012 and datasets written like them."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from densekd.data.annotations import Annotation, stacked
from densekd.data.classes import Classes, distinct_classes, published_classes, read_classes
from densekd.data.detection import DetectionFiles, DetectionItem
from densekd.data.files import IMAGE_SUFFIXES, first_file, first_folder, image_size, read_lines
from densekd.errors import UserError
from densekd.parsers import load_xml, whole_number
from densekd.parsers.files import is_file


class _Object(NamedTuple):
    name: str
    corners: tuple[float, float, float, float]
    difficult: bool


def voc_boxes(root: Path, split: str) -> DetectionFiles:
    """Boxes in Pascal VOC's XML: VOC 2007, VOC 2012, or any data in their layout.

    Layout: ``Annotations/<stem>.xml``, ``JPEGImages/<stem>.jpg`` (or another suffix) and the list
    ``ImageSets/Main/<split>.txt``, in the root or in ``VOCdevkit/VOC2007``, ``VOCdevkit/VOC2012``,
    ``VOC2007`` or ``VOC2012`` below it. Where there are both years, a split names its own:
    ``VOC2007/trainval+VOC2012/trainval``.

    The classes are those of ``classes.json`` in the root, where there is one; VOC's 20, if no
    object of the folder is of another class; else the names of all objects, sorted. Pixels are
    counted from 1 and a box has its last ones: it covers x from xmin - 1 to xmax. Difficult objects
    are crowds: neither learned nor do they count as missed.

    Args:
        root: the folder that holds them.
        split: the name of a list, ``train``, ``val``, ``trainval`` or ``test``, after the folder's
            name and a slash where needed.

    Raises:
        UserError: a missing folder, list, image or annotation, a malformed annotation, or an
            unknown class.
    """
    folder, _, name = split.rpartition("/")
    home = _home(root, folder)
    stems = _stems(home, home / "ImageSets" / "Main" / f"{name}.txt")
    images = _images(home / "JPEGImages")
    classes = _classes(root, home)
    items = []
    # VOC gives its images no numbers; results files count them from 1.
    for number, stem in enumerate(stems, 1):
        items.append(_item(home, images.get(stem), stem, number, classes.names))
    return DetectionFiles(classes, tuple(items), tuple(range(len(classes.names))))


def _home(root: Path, folder: str) -> Path:
    """Return the folder that holds ``Annotations``."""
    devkit = root / "VOCdevkit"
    if folder:
        homes = [root / folder, devkit / folder]
    else:
        homes = [root, devkit / "VOC2007", devkit / "VOC2012", root / "VOC2007", root / "VOC2012"]
        # Two years have files of the same names, so one of them must be meant.
        there = [home for home in homes if (home / "Annotations").is_dir()]
        if len(there) > 1:
            raise UserError(
                f"{root} holds {' and '.join(home.name for home in there)}; say which: a split is written "
                f"'{there[0].name}/trainval', several are joined by '+'."
            )
    return first_folder((home / "Annotations" for home in homes), "Pascal VOC annotations").parent


def _stems(home: Path, path: Path) -> list[str]:
    """Read the names of a split's images from its list."""
    if not path.is_file():
        there = ", ".join(sorted(found.stem for found in path.parent.glob("*.txt"))) or "none"
        raise UserError(f"{path}: no such list of images; there is {there}.")
    stems = sorted({_stem(home, line.strip()) for line in read_lines(path)})
    if not stems:
        raise UserError(f"{path}: the list is empty.")
    return stems


def _stem(home: Path, line: str) -> str:
    """Return the name that a line of a list begins with; names may have spaces."""
    if is_file(home / "Annotations" / f"{line}.xml"):
        return line
    # Lists of one class have a second column: whether the class is in the image.
    parts = line.rsplit(maxsplit=1)
    return parts[0] if parts[1:] in (["1"], ["0"], ["-1"]) else line


def _images(folder: Path) -> dict[str, Path]:
    """List the images by stem; their suffixes may be in capitals."""
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*")):
        suffix = path.suffix.lower()
        earlier = found.get(path.stem)
        if suffix not in IMAGE_SUFFIXES or path.name.startswith("."):
            continue
        # Of several, the usual format.
        if earlier is None or IMAGE_SUFFIXES.index(suffix) < IMAGE_SUFFIXES.index(earlier.suffix.lower()):
            found[path.stem] = path
    return found


def _classes(root: Path, home: Path) -> Classes:
    """Return the classes of ``classes.json``, VOC's 20, or those that the objects have."""
    own = first_file((root / "classes.json", home / "classes.json"))
    if own is not None:
        return read_classes(own)
    # The first of the 21 of segmentation is the background, which is no object.
    published = published_classes("voc")
    twenty = Classes(published.names[1:], published.palette[1:])
    found: set[str] = set()
    for path in (home / "Annotations").glob("*.xml"):
        found.update(one.name for one in _objects(path, _parse(path)))
    if found <= set(twenty.names):
        return twenty
    return distinct_classes(sorted(found), home / "Annotations")


def _item(home: Path, image: Path | None, stem: str, number: int, names: Sequence[str]) -> DetectionItem:
    """Read the boxes of one image."""
    path = home / "Annotations" / f"{stem}.xml"
    if image is None:
        image = home / "JPEGImages" / f"{stem}{IMAGE_SUFFIXES[0]}"
    for file in (path, image):
        if not is_file(file):
            raise UserError(f"{file}: missing, though a list of {home / 'ImageSets' / 'Main'} names it.")
    tree = _parse(path)
    boxes = []
    for one in _objects(path, tree):
        if one.name not in names:
            raise UserError(f"{path}: '{one.name}' is no class; known are {', '.join(names)}. Add it to classes.json.")
        x1, y1, x2, y2 = one.corners
        area = (x2 - x1) * (y2 - y1)
        # Difficult objects are neither trained on nor do they count as missed.
        boxes.append(Annotation(one.corners, names.index(one.name), one.difficult, area))
    return DetectionItem(stem, image, number, _size(tree) or image_size(image), stacked(boxes))


def _parse(path: Path) -> ElementTree.Element:
    try:
        return load_xml(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as XML ({error}). Restore or export it again.") from error


def _objects(path: Path, tree: ElementTree.Element) -> list[_Object]:
    """Parse the objects of one annotation."""
    found = []
    for number, one in enumerate(tree.iterfind("object"), 1):
        name = (one.findtext("name") or "").strip()
        try:
            corners = [float(one.findtext(f"bndbox/{key}") or "") for key in ("xmin", "ymin", "xmax", "ymax")]
            if not name or not all(math.isfinite(value) for value in corners):
                raise ValueError
            difficult = int(one.findtext("difficult") or 0) != 0
        except ValueError as error:
            raise UserError(
                f"{path}: object {number} ('{name}') needs a 'name' and a 'bndbox' with the numbers xmin, ymin, xmax "
                "and ymax; 'difficult', if it is there, is 0 or 1."
            ) from error
        # Pixels count from 1 and the last one belongs to the box.
        x1, y1, x2, y2 = corners
        found.append(_Object(name, (x1 - 1, y1 - 1, x2, y2), difficult))
    return found


def _size(tree: ElementTree.Element) -> tuple[int, int] | None:
    """Read the image's (height, width) from an annotation; None where it says none: left out, zero, or no number."""
    height = whole_number(tree.findtext("size/height") or "")
    width = whole_number(tree.findtext("size/width") or "")
    if not height or not width:
        return None
    return height, width
