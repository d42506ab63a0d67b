"""Pascal VOC 2012 with 21 classes (Everingham et al., 2010; labels of Hariharan et al., 2011)."""

from pathlib import Path

from densekd.data.class_files import CVAT
from densekd.data.classes import Classes, published_classes, read_classes
from densekd.data.files import IMAGE_SUFFIXES, SegmentationFiles, first_file, first_folder, read_lines
from densekd.data.found import Item
from densekd.errors import UserError

_AUGMENTED = ("trainaug", "train_aug")
# The official one first; other data has others, also in capitals.
_SUFFIXES = (*IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))


def voc(root: Path, split: str) -> SegmentationFiles:
    """Pascal VOC 2012 segmentation, 21 classes, official layout and augmented labels (trainaug).

    Layout: ``JPEGImages/*.jpg`` (or another suffix), ``SegmentationClass/*.png``,
    ``SegmentationClassAug/*.png`` and the lists ``ImageSets/Segmentation/<split>.txt`` (or
    ``<split>.txt``, ``list/<split>.txt``), in the root or in ``VOCdevkit/VOC2012``, ``VOC2012`` or
    ``VOCAug`` below it. ``trainaug`` without a list of its own is ``train`` and ``aug`` together. An
    augmented label is read where there is one, for the training splits. Data of other classes in
    this layout has a ``classes.json`` (see :func:`densekd.data.folder.folder`) in the root or beside
    ``JPEGImages``; CVAT's, with a ``labelmap.txt``, is read by ``folder``.

    Args:
        root: the folder that holds them.
        split: ``train``, ``val``, ``trainval`` or ``trainaug``.

    Raises:
        UserError: a missing folder, list, image or label.
    """
    homes = (root, root / "VOCdevkit" / "VOC2012", root / "VOC2012", root / "VOCAug")
    home = first_folder((home / "JPEGImages" for home in homes), "Pascal VOC images").parent
    labelmap = first_file((root / CVAT, home / CVAT))
    if labelmap is not None and first_file((root / "classes.json", home / "classes.json")) is None:
        raise UserError(
            f"{labelmap}: names classes and colors of its own, so this is an export of CVAT: write data.dataset: "
            "folder, and data.split: {val: 0.2, seed: 0} to divide the images."
        )
    # Where both have a label, training reads the augmented one, validation the official one.
    folders = [home / "SegmentationClass"]
    if split != "val":
        folders.insert(0, home / "SegmentationClassAug")
    items = []
    for stem in sorted(_stems(home, split)):
        items.append(_item(home, folders, stem))
    return SegmentationFiles(_classes(root, home), tuple(items))


def _classes(root: Path, home: Path) -> Classes:
    """Return the classes of a ``classes.json``, or VOC's 21."""
    own = first_file((root / "classes.json", home / "classes.json"))
    return published_classes("voc") if own is None else read_classes(own)


def _item(home: Path, folders: list[Path], stem: str) -> Item:
    image = first_file(home / "JPEGImages" / f"{stem}{suffix}" for suffix in _SUFFIXES)
    labels = [folder / f"{stem}.png" for folder in folders]
    label = first_file(labels)
    if label is None or image is None:
        missing = f"{home / 'JPEGImages' / stem}.jpg"
        if label is None:
            missing = " or ".join(map(str, labels))
        raise UserError(f"{missing}: missing, though a list of {home} names it.")
    return Item(stem, image, label)


def _stems(home: Path, split: str) -> set[str]:
    """Read the names of a split's images from its list."""
    names = _AUGMENTED if split in _AUGMENTED else (split,)
    official = home / "ImageSets" / "Segmentation"
    candidates = []
    for folder in (official, home, home / "list"):
        for name in names:
            candidates.append(folder / f"{name}.txt")
    found = first_file(candidates)
    if found is not None:
        # CIRKD's lists name image and label, the official ones the stem alone.
        return set(map(_stem, read_lines(found)))
    # The augmented set is the union of two lists.
    if split in _AUGMENTED and (official / "aug.txt").is_file():
        return _stems(home, "train") | _stems(home, "aug")
    looked_for = " and ".join(map(str, candidates))
    raise UserError(f"Pascal VOC split '{split}' not found; looked for {looked_for}.")


def _stem(line: str) -> str:
    """Return the name of an image in a list: the line, which may have spaces and dots, or what a path ends in."""
    first = Path(line.split()[0].replace("\\", "/"))
    if len(first.parts) > 1 or first.suffix.lower() in IMAGE_SUFFIXES:
        return first.stem
    return line.strip()
