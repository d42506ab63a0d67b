"""Images without labels: a student learns from its teacher alone."""

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from densekd.data.classes import read_classes
from densekd.data.files import IMAGE_SUFFIXES, SegmentationFiles, find, first_folder, image_size
from densekd.data.found import Item, Source
from densekd.errors import UserError


class VoidLabel(NamedTuple):
    """Stands where a label would: void everywhere, of the image's size.

    Args:
        image: the picture.
        void: the value of void pixels.
    """

    image: Source
    void: int

    def values(self) -> np.ndarray:
        """Return void, uint8 ``[H, W]``; of the picture only the header is looked at."""
        return np.full(image_size(self.image), self.void, np.uint8)

    def read_bytes(self) -> bytes:
        """Return a PNG of void, for shards."""
        buffer = io.BytesIO()
        Image.fromarray(self.values()).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    @property
    def suffix(self) -> str:
        """The suffix of the format."""
        return ".png"

    def __str__(self) -> str:
        """Return the picture's name."""
        return f"{self.image} (without label)"


def unlabelled(root: Path, split: str) -> SegmentationFiles:
    """Unlabelled images for a segmentation that learns from the teacher alone; the task must be none.

    Layout: ``images/<split>``, ``<split>`` or the root itself, with images at any depth, and
    ``classes.json``: what the student shall tell apart (see :func:`densekd.data.folder.folder`).

    Args:
        root: the folder that holds them.
        split: name of a sub-folder; where there is none, all images below the root.

    Raises:
        UserError: no folder, no image, or no classes.json.
    """
    classes = read_classes(root / "classes.json")
    images = first_folder((root / "images" / split, root / split, root / "images", root), "Images")
    found = find(images, IMAGE_SUFFIXES)
    if not found:
        raise UserError(f"{images}: no images ({', '.join(IMAGE_SUFFIXES)}).")
    void = classes.ignore_index
    items = tuple(Item(stem, path, VoidLabel(path, void)) for stem, path in found.items())
    return SegmentationFiles(classes, items, labels="absent")
