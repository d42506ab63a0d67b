"""Cityscapes with 19 classes (Cordts et al., CVPR 2016, arXiv 1604.01685), fine and coarse labels."""

from pathlib import Path

from densekd.data.classes import published_classes
from densekd.data.files import SegmentationFiles, find, first_folder, pair_by_stem
from densekd.errors import UserError

IMAGE_ENDING = "_leftimg8bit.png"
_COARSE = ("train_extra",)


def cityscapes(root: Path, split: str) -> SegmentationFiles:
    """Cityscapes, 19 classes, official layout: leftImg8bit and gtFine or gtCoarse.

    Layout: ``leftImg8bit/<split>/<city>/*_leftImg8bit.png`` and
    ``gtFine/<split>/<city>/*_gtFine_labelIds.png``, whose 34 ids are mapped to 19 classes and
    ignored pixels as they are read; where every image has a ``_labelTrainIds.png`` (see
    ``densekd data prepare``), that is read instead. ``train_extra`` and, with ``-coarse`` appended,
    the other splits read ``gtCoarse``.

    Args:
        root: the folder that holds them, or its parent ``cityscapes``.
        split: ``train``, ``val``, ``train_extra``, ``train-coarse``, ``val-coarse``.

    Raises:
        UserError: a missing folder, or an image or label without partner.
    """
    part = split.removesuffix("-coarse")
    coarse = split in _COARSE or split.endswith("-coarse")
    kind = "gtCoarse" if coarse else "gtFine"
    homes = (root, root / "cityscapes")
    images = first_folder((home / "leftImg8bit" / part for home in homes), f"Cityscapes images of '{part}'")
    labels = first_folder((home / kind / part for home in homes), f"Cityscapes labels of '{part}'")
    classes = published_classes("cityscapes")
    ids = f"_{kind.lower()}_labelids.png"
    train_ids = f"_{kind.lower()}_labeltrainids.png"
    prepared = find(labels, (train_ids,))
    if not (prepared or find(labels, (ids,))):
        raise UserError(
            f"{labels}: no {kind} labels in it. The test split has none: predict it instead. Where there are only "
            "polygons, run 'densekd data prepare cityscapes ROOT'."
        )
    # Prepared labels hold class numbers already; a split that is prepared in part is not used.
    if set(prepared) >= set(find(images, (IMAGE_ENDING,))):
        return SegmentationFiles(classes, pair_by_stem(images, labels, (IMAGE_ENDING,), (train_ids,)))
    # Of the 34 ids the 19 that the benchmark scores become classes, the others are ignored.
    label_map = dict.fromkeys(range(34), classes.ignore_index)
    for k, value in enumerate(classes.submission):
        label_map[value] = k
    return SegmentationFiles(classes, pair_by_stem(images, labels, (IMAGE_ENDING,), (ids,)), label_map)
