"""CamVid with 11 classes (Brostow et al. 2008), in the SegNet authors' version of 360 x 480 pixels."""

from pathlib import Path

from densekd.data.classes import Classes
from densekd.data.files import SegmentationFiles, pair_by_stem
from densekd.errors import UserError

CLASSES = Classes(
    names=(
        "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
    ),
    palette=(
        (128, 128, 128), (128, 0, 0), (192, 192, 128), (128, 64, 128), (60, 40, 222), (128, 128, 0),
        (192, 128, 128), (64, 64, 128), (64, 0, 128), (64, 64, 0), (0, 128, 192),
    ),
)  # fmt: skip
_IGNORED_IN_SOURCE = 11


def camvid(root: Path, split: str) -> SegmentationFiles:
    """CamVid, 11 classes, in the SegNet authors' version of 360 x 480 pixels.

    Two layouts are known: ``images/<split>`` + ``labels/<split>``, and the source's ``<split>`` +
    ``<split>annot``. Label 11, which the source ignores, becomes 255.

    Args:
        root: the folder that holds them.
        split: ``train``, ``val`` or ``test``.

    Raises:
        UserError: neither layout is there, or the files do not pair.
    """
    # The first layout is ours, the second that of the SegNet tutorial.
    layouts = ((root / "images" / split, root / "labels" / split), (root / split, root / f"{split}annot"))
    label_map = {_IGNORED_IN_SOURCE: CLASSES.ignore_index}
    for images, labels in layouts:
        if images.is_dir():
            return SegmentationFiles(CLASSES, pair_by_stem(images, labels), label_map)
    raise UserError(f"{root}: no CamVid split '{split}'; looked for {layouts[0][0]} and {layouts[1][0]}.")
