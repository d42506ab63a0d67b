"""One image's annotation in Pascal VOC's XML: objects with their boxes, and the size of the image."""

import math
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from densekd.errors import UserError
from densekd.parsers import load_xml, whole_number


class Object(NamedTuple):
    """One object.

    Args:
        name: of its class.
        corners: x1, y1, x2, y2 in pixels; pixel 0 covers 0 to 1.
        difficult: neither learned nor missed.
    """

    name: str
    corners: tuple[float, float, float, float]
    difficult: bool


def read_annotation(path: Path) -> ElementTree.Element:
    """Read the XML of one image.

    Raises:
        UserError: no file, or no XML.
    """
    try:
        return load_xml(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as XML ({error}). Restore or export it again.") from error


def objects_of(path: Path, tree: ElementTree.Element) -> list[Object]:
    """Parse the objects of one annotation.

    Raises:
        UserError: an object without name or box.
    """
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
        found.append(Object(name, (x1 - 1, y1 - 1, x2, y2), difficult))
    return found


def size_of(tree: ElementTree.Element) -> tuple[int, int] | None:
    """Read the image's (height, width) from an annotation; None where it says none: left out, zero, or no number."""
    height = whole_number(tree.findtext("size/height") or "")
    width = whole_number(tree.findtext("size/width") or "")
    if not height or not width:
        return None
    return height, width
