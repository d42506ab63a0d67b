"""What a data check reads of an image and its label map."""

import numpy as np

from densekd.data.facts import Facts, image_facts
from densekd.data.files import SegmentationFiles


def counted(files: SegmentationFiles) -> dict[str, tuple[str, ...]]:
    """Name what is counted: the pixels of each class, and void ones."""
    return {"pixels": (*files.classes.names, "void")}


def look(files: SegmentationFiles) -> Facts:
    """Read the one image of these files with its label and count the pixels of each class.

    Raises:
        UserError: either cannot be read, or they do not fit.
    """
    item = files.items[0]
    image, label = files.pair(0)
    # One count of all values; those of no class were refused when the label was read.
    pixels = np.bincount(label.ravel(), minlength=256)
    count = pixels[[*range(len(files.classes.names)), files.classes.ignore_index]]
    height, width = image.shape[:2]
    return image_facts((item.image, item.label), (height, width), (count,))
