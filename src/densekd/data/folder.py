"""Segmentation data of one's own: folders of images and label maps, and a file that names the classes."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from densekd.data.class_files import read_class_file
from densekd.data.detect_coding import Coding, Ignore, detect_coding
from densekd.data.exports.recognize import with_advice
from densekd.data.files import SegmentationFiles
from densekd.data.folder_layout import FolderNames, Place, find_pool, find_split, list_splits, pair
from densekd.data.found import Item, SortedPaths, Source, label_texts
from densekd.data.holdout import ALL, Holdout, has_lists, held_out
from densekd.data.relabel import Meaning, relabel
from densekd.errors import RecipeError, UserError


def folder(
    root: Path,
    split: str,
    images: str | None = None,
    labels: str | None = None,
    suffix: str | None = None,
    coding: Coding = "auto",
    ignore: Ignore = (),
    map: Meaning | None = None,
    holdout: Holdout | None = None,
) -> SegmentationFiles:
    """Any segmentation data in a folder layout: images, labels and classes.json.

    Layout: ``images/<split>/<stem>.jpg|png|...``, ``labels/<split>/<stem>.png`` (class numbers) and
    ``classes.json``. Also ``<split>/images`` and ``<split>/masks``, images and masks in one folder
    ``<split>``, no splits (``data.split`` or lists ``splits/<split>.txt`` of stems divide the
    images), and what Roboflow (``_classes.csv``) and CVAT (``labelmap.txt``) export.

    ``classes.json`` has ``names``; ``palette``, an RGB color for each class; ``ignore_index``, the
    value of void pixels (255; 0 where classes are numbered from 1); and ``void``, further values or
    colors that mean nothing. Labels are numbers in one channel or three equal ones, palette images,
    or RGB colors of the palette, in PNG, TIFF, BMP or GIF. JPEG is refused: it changes values.

    Args:
        root: the folder that holds them.
        split: the name of a sub-folder, or of a list; ``all``: images that nothing divides.
        images: name of the folder of images; null: images, or another usual name.
        labels: name of the folder of labels; null: labels, masks, or another usual name.
        suffix: what a label's name has after the image's, such as ``_mask``; null: what all have.
        coding: how labels are written: numbers (from 0), from-one, binary (0 and 255), colors (of
            the palette), or auto, which looks at the files and says what is not numbers from 0.
        ignore: values, RGB colors or names of classes whose pixels are void; a class that is not
            used any more is dropped.
        map: value in the labels or name of a class, to the value or name of the class that it
            becomes (null: void): merges, renames and drops classes.
        holdout: how images without splits are divided; ``data.split`` of a recipe.

    Raises:
        UserError: a missing or empty folder, files that do not pair, a wrong classes.json, labels
            that cannot be understood.
        RecipeError: options that do not fit the data.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such data folder.")
    names = FolderNames(images, labels, suffix)
    try:
        place, items = _find(root, split, names, holdout)
        described = read_class_file(root, (place.labels, *_other_labels(root, names)))
    except RecipeError:
        raise
    except UserError as error:
        # What is no folder of labels may be an export that another dataset reads.
        raise with_advice(error, root) from error
    everything = (*described.void, *ignore)
    sources = _all_labels(root, names, place, items)
    detected = detect_coding(described, sources, coding, everything, map or {})
    values = tuple(one for one in everything if not isinstance(one, tuple))
    classes, label_map = relabel(described.classes, detected.numbers, values, map or {})
    read = replace(detected.coding, known=frozenset(label_map))
    # Where files hold the labels themselves, nothing is looked up.
    if all(value == label for value, label in label_map.items()):
        label_map = {}
    # What the recipe says itself is not said again.
    notes: tuple[str, ...] = ()
    if coding == "auto" and detected.note:
        notes = (detected.note,)
    return SegmentationFiles(classes, items, label_map, notes=notes, coding=read)


def _find(root: Path, split: str, names: FolderNames, holdout: Holdout | None) -> tuple[Place, Sequence[Item]]:
    """Find the images and labels of a split, in its folders or by its list."""
    if holdout is not None or has_lists(root):
        pool = find_pool(root, names)
        if pool is not None:
            return pool, held_out(root, split, pair(pool, names.suffix), holdout)
        if holdout is not None:
            raise RecipeError(
                f"data.split: {root} has splits already, {', '.join(list_splits(root, names)) or 'or no images'}; "
                "remove data.split from the recipe."
            )
    place = find_split(root, split, names)
    if place is None and split == ALL:
        # Nothing divides the images, so that all of them are meant.
        place = find_pool(root, names)
    if place is None:
        raise _no_split(root, split, names)
    return place, pair(place, names.suffix)


def _no_split(root: Path, split: str, names: FolderNames) -> UserError:
    """Return the error for a split that is not there: what is, and how to get one."""
    images = root / (names.images or "images")
    labels = root / (names.labels or "labels")
    there = list_splits(root, names)
    if find_pool(root, names) is not None:
        return UserError(
            f"{root}: no split '{split}'; there is {', '.join(there) or 'none'}. To divide the images, write "
            "data.split: {val: 0.2, seed: 0}; it is drawn once and written to 'splits' beside the data."
        )
    # A misspelt split is the most frequent mistake, so the message lists those that are there.
    if (images / split).is_dir() and not (labels / split).is_dir():
        return UserError(
            f"{labels / split}: no such folder. If the labels are elsewhere, name their folder: "
            "data.options: {labels: NAME}."
        )
    if images.is_dir():
        return UserError(f"{images}: no split '{split}'; there is {', '.join(there) or 'none'}.")
    if there:
        return UserError(f"{root}: no split '{split}'; there is {', '.join(there)}.")
    return UserError(f"{images / split}: no such folder.")


def _other_labels(root: Path, names: FolderNames) -> list[Path]:
    """Return the folders of labels of the usual splits."""
    places = [find_split(root, split, names) for split in ("train", "val", "test")]
    return [place.labels for place in places if place is not None]


def _all_labels(root: Path, names: FolderNames, place: Place, items: Sequence[Item]) -> Sequence[Source]:
    """Return label files of all splits: train and val must be read alike."""
    found = label_texts(items)
    for folder_name in ("train", "val", "test"):
        other = find_split(root, folder_name, names)
        if other is None or other == place:
            continue
        try:
            found += label_texts(pair(other, names.suffix))
        except UserError:
            # What is wrong with another split is said when that one is asked for.
            continue
    return SortedPaths(found)
