"""COCO-Stuff with 171 classes (Caesar et al., CVPR 2018, arXiv 1612.03716): 164k images or 10k."""

from pathlib import Path

from densekd.data.classes import published_classes
from densekd.data.files import SegmentationFiles, find, first_folder, pair_by_stem

# Of the 182 ids of COCO-Stuff, those that no pixel has, counted from 0.
UNUSED = (11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90)
_PREPARED = "_labeltrainids.png"
_SPLITS = {"train": "train2017", "val": "val2017"}
_SPLITS_10K = {"train": "train2014", "val": "test2014", "test": "test2014"}


def cocostuff(root: Path, split: str) -> SegmentationFiles:
    """COCO-Stuff, 171 classes, official layout of the 164k images of 2017.

    Layout: ``images/{train2017,val2017}/*.jpg`` (or without ``images``) and ``annotations/`` or
    ``stuffthingmaps/`` with the same folders of ``*.png``. The ids 0..181 become 171 classes: 11 of
    them are never used. Where there are ``*_labelTrainIds.png`` (mmsegmentation's converter) these
    are read as they are.

    Args:
        root: the folder that holds them.
        split: ``train`` or ``val``.

    Raises:
        UserError: a missing folder, or an image or label without partner.
    """
    part = _SPLITS.get(split, split)
    images = first_folder((root / "images" / part, root / part), f"COCO-Stuff images of '{split}'")
    homes = (root / "annotations" / part, root / "stuffthingmaps" / part)
    labels = first_folder(homes, "COCO-Stuff labels")
    classes = published_classes("cocostuff")
    if find(labels, (_PREPARED,)):
        return SegmentationFiles(classes, pair_by_stem(images, labels, label_endings=(_PREPARED,)))
    # The ids that are used become 0..170 in their order.
    used = [k for k in range(182) if k not in UNUSED]
    label_map = dict.fromkeys(UNUSED, classes.ignore_index)
    for k, value in enumerate(used):
        label_map[value] = k
    return SegmentationFiles(classes, pair_by_stem(images, labels), label_map)


def cocostuff10k(root: Path, split: str) -> SegmentationFiles:
    """COCO-Stuff 10k, 171 classes, as 'densekd data prepare cocostuff10k' writes it.

    Layout: ``images/{train2014,test2014}/*.jpg`` and
    ``annotations/{train2014,test2014}/*_labelTrainIds.png`` with 0 for ignored pixels and k for
    class k - 1, which is mmsegmentation's.

    Args:
        root: the folder that holds them.
        split: ``train``, or ``val`` for the test images.

    Raises:
        UserError: a missing folder, or an image or label without partner.
    """
    part = _SPLITS_10K.get(split, split)
    images = first_folder((root / "images" / part,), f"COCO-Stuff 10k images of '{split}'")
    labels = first_folder((root / "annotations" / part,), f"COCO-Stuff 10k labels of '{split}'")
    classes = published_classes("cocostuff")
    # mmsegmentation's converter writes classes from 1, and 0 where no class is.
    label_map = {0: classes.ignore_index}
    for k in range(len(classes.names)):
        label_map[k + 1] = k
    return SegmentationFiles(classes, pair_by_stem(images, labels, label_endings=(_PREPARED,)), label_map)
