"""Segmentation data in one plain layout: ``images/<split>``, ``labels/<split>`` and ``classes.json``."""

from pathlib import Path

from densekd.data.classes import read_classes
from densekd.data.files import SegmentationFiles, pair_by_stem
from densekd.errors import UserError


def folder(root: Path, split: str) -> SegmentationFiles:
    """Any segmentation data in the plain folder layout: images, labels and classes.json.

    Layout: ``images/<split>/<stem>.jpg|png|...``, ``labels/<split>/<stem>.png`` (one channel,
    8 bit, class numbers) and ``classes.json`` with ``names`` and, optionally, ``palette`` (RGB per
    class) and ``ignore_index`` (255).

    Args:
        root: the folder that holds them.
        split: the name of a sub-folder of ``images`` and ``labels``.

    Raises:
        UserError: a missing or empty folder, files that do not pair, a wrong classes.json.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such data folder.")
    images = root / "images"
    # A misspelt split is the most frequent mistake, so the message lists those that are there.
    if images.is_dir() and not (images / split).is_dir():
        splits = sorted(p.name for p in images.iterdir() if p.is_dir())
        raise UserError(f"{images}: no split '{split}'; there is {', '.join(splits) or 'none'}.")
    classes = read_classes(root / "classes.json")
    return SegmentationFiles(classes, pair_by_stem(images / split, root / "labels" / split))
