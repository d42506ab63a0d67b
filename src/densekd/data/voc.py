"""Pascal VOC 2012 with 21 classes (Everingham et al., 2010; labels of Hariharan et al., 2011)."""

from pathlib import Path

from densekd.data.files import Item, SegmentationFiles, first_file, first_folder
from densekd.data.folder import published_classes
from densekd.errors import UserError

_AUGMENTED = ("trainaug", "train_aug")


def voc(root: Path, split: str) -> SegmentationFiles:
    """Pascal VOC 2012 segmentation, 21 classes, in the official layout, with augmented labels.

    Layout: ``JPEGImages/*.jpg``, ``SegmentationClass/*.png``, ``SegmentationClassAug/*.png`` and
    the lists ``ImageSets/Segmentation/<split>.txt`` (or ``<split>.txt``, ``list/<split>.txt``), in
    the root or in ``VOCdevkit/VOC2012``, ``VOC2012`` or ``VOCAug`` below it. ``trainaug`` without a
    list of its own is ``train`` and ``aug`` together. An augmented label is read where there is
    one, for the training splits.

    Args:
        root: the folder that holds them.
        split: ``train``, ``val``, ``trainval`` or ``trainaug``.

    Raises:
        UserError: a missing folder, list, image or label.
    """
    homes = (root, root / "VOCdevkit" / "VOC2012", root / "VOC2012", root / "VOCAug")
    home = first_folder((home / "JPEGImages" for home in homes), "Pascal VOC images").parent
    folders = [home / "SegmentationClass"]
    if split != "val":
        folders.insert(0, home / "SegmentationClassAug")
    items = tuple(_item(home, folders, stem) for stem in sorted(_stems(home, split)))
    return SegmentationFiles(published_classes("voc"), items)


def _item(home: Path, folders: list[Path], stem: str) -> Item:
    image = home / "JPEGImages" / f"{stem}.jpg"
    labels = [folder / f"{stem}.png" for folder in folders]
    label = first_file(labels)
    if label is None or not image.is_file():
        missing = image if label is not None else " or ".join(str(path) for path in labels)
        raise UserError(f"{missing}: missing, though a list of {home} names it.")
    return Item(stem, image, label)


def _stems(home: Path, split: str) -> set[str]:
    """Read the names of a split's images from its list."""
    names = _AUGMENTED if split in _AUGMENTED else (split,)
    folders = (home / "ImageSets" / "Segmentation", home, home / "list")
    candidates = []
    for folder in folders:
        candidates += [folder / f"{name}.txt" for name in names]
    found = first_file(candidates)
    if found is not None:
        # CIRKD's lists name image and label, the official ones the stem alone.
        lines = found.read_text(encoding="utf-8").splitlines()
        return {Path(line.split()[0]).stem for line in lines if line.strip()}
    if split in _AUGMENTED and (folders[0] / "aug.txt").is_file():
        return _stems(home, "train") | _stems(home, "aug")
    looked_for = " and ".join(str(path) for path in candidates)
    raise UserError(f"Pascal VOC split '{split}' not found; looked for {looked_for}.")
