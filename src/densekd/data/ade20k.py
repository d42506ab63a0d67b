"""ADE20K with 150 classes (Zhou et al., CVPR 2017): the challenge's cut, whose label 0 is void."""

from pathlib import Path

from densekd.data.files import SegmentationFiles, first_folder, pair_by_stem
from densekd.data.folder import published_classes

_FOLDERS = {"train": "training", "val": "validation"}


def ade20k(root: Path, split: str) -> SegmentationFiles:
    """Find the files of one split.

    Layout: ``images/{training,validation}/*.jpg`` and ``annotations/{training,validation}/*.png`` in the root or in
    ``ADEChallengeData2016`` below it. Label 0 becomes void, label k class k - 1.

    Args:
        root: the folder that holds them.
        split: ``train`` or ``val``.

    Raises:
        UserError: a missing folder, or an image or label that stays alone.
    """
    part = _FOLDERS.get(split, split)
    homes = (root, root / "ADEChallengeData2016", root / "ade" / "ADEChallengeData2016")
    images = first_folder((home / "images" / part for home in homes), f"ADE20K images of '{split}'")
    labels = first_folder((home / "annotations" / part for home in homes), f"ADE20K labels of '{split}'")
    classes = published_classes("ade20k")
    label_map = {0: classes.ignore_index} | {label: k for k, label in enumerate(classes.submission)}
    return SegmentationFiles(classes, pair_by_stem(images, labels), label_map)
