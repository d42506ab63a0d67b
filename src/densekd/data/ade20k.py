"""ADE20K with 150 classes (Zhou et al., CVPR 2017), the subset of the scene parsing challenge."""

from pathlib import Path

from densekd.data.classes import published_classes
from densekd.data.files import SegmentationFiles, first_folder, pair_by_stem

_FOLDERS = {"train": "training", "val": "validation"}


def ade20k(root: Path, split: str) -> SegmentationFiles:
    """ADE20K, 150 classes, official layout of the scene parsing challenge.

    Layout: ``images/{training,validation}/*.jpg`` and ``annotations/{training,validation}/*.png``
    in the root or in ``ADEChallengeData2016`` below it. Label 0 is ignored, label k is class k - 1.

    Args:
        root: the folder that holds them.
        split: ``train`` or ``val``.

    Raises:
        UserError: a missing folder, or an image or label without partner.
    """
    part = _FOLDERS.get(split, split)
    homes = (root, root / "ADEChallengeData2016", root / "ade" / "ADEChallengeData2016")
    images = first_folder((home / "images" / part for home in homes), f"ADE20K images of '{split}'")
    labels = first_folder((home / "annotations" / part for home in homes), f"ADE20K labels of '{split}'")
    classes = published_classes("ade20k")
    # The files count classes from 1 and write 0 where no class is.
    label_map = {0: classes.ignore_index}
    for k, label in enumerate(classes.submission):
        label_map[label] = k
    return SegmentationFiles(classes, pair_by_stem(images, labels), label_map)
