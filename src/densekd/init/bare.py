"""Images and label files without a list of classes: folders found by what is in them, classes by their values."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from densekd.atomic import write_text
from densekd.data.files import IMAGE_SUFFIXES, find
from densekd.data.folder_layout import LABEL_SUFFIXES, MASK_SUFFIXES, FolderNames, Place, find_pool, find_split, pair
from densekd.data.found import Source
from densekd.data.label_coding import Color, listed_colors, open_label, survey
from densekd.data.listing import is_hidden, list_files
from densekd.data.picture import opened
from densekd.errors import UserError

# Label files that are looked into; more colors than this are photographs.
_SAMPLE = 200
_CLASSES = 256


class Bare(NamedTuple):
    """How bare folders are read.

    Args:
        options: of the dataset ``folder``.
        notes: what a person should know.
    """

    options: dict[str, Any]
    notes: list[str]


def describe_bare(root: Path) -> Bare | None:
    """Find images and labels, and write ``classes.json`` with a class for each value in the labels.

    Args:
        root: a folder without a list of classes.

    Returns:
        how it is read; None where there are no two folders of images and labels.

    Raises:
        UserError: labels that are no classes, or a folder that cannot be written.
    """
    names = _names(root)
    if names is None:
        return None
    places = [find_split(root, split, names) for split in ("train", "val", "test")]
    there = [place for place in [*places, find_pool(root, names)] if place is not None and _is_labelled(place)]
    if not there:
        return None
    options = {}
    if names.images is not None:
        options = {"images": names.images, "labels": names.labels}
    path = root / "classes.json"
    if path.exists():
        return Bare(options, [])
    labels: list[Source] = []
    for place in there:
        labels += [item.label for item in pair(place, None)]
    return Bare(options, [write_classes(path, labels)])


def write_classes(path: Path, labels: Sequence[Source], colors: bool = True) -> str:
    """Write ``classes.json`` with a class for each value in the labels; return what is to be said of it.

    Args:
        path: of the file.
        labels: of which a sample is looked into.
        colors: whether labels may be colors.

    Raises:
        UserError: labels that are no classes, or a folder that cannot be written.
    """
    content, said = _classes(labels, colors)
    try:
        write_text(path, json.dumps(content, indent=1) + "\n")
    except OSError as error:
        folder = path.parent
        raise UserError(
            f"{path}: cannot be written ({error}); make {folder} writable, or write it yourself."
        ) from error
    return f"{path} was written, {said}: edit the names"


def _is_labelled(place: Place) -> bool:
    """Return False for one folder in which nothing looks like a label beside its image."""
    if place.images != place.labels:
        return True
    pictures = [path for path in list_files(place.images) if path.suffix.lower() in IMAGE_SUFFIXES]
    names = {path.with_suffix("") for path in pictures}
    return len(names) < len(pictures) or any(path.name.endswith(MASK_SUFFIXES) for path in names)


def _names(root: Path) -> FolderNames | None:
    """Return the names of the folders of images and labels; None where there are none."""
    usual = FolderNames()
    try:
        if find_pool(root, usual) or find_split(root, "train", usual):
            return usual
    except UserError:
        pass
    below = [one for one in sorted(root.iterdir()) if one.is_dir() and not is_hidden(one.name)]
    for images in below:
        for labels in below:
            if images != labels and _are_partners(images, labels):
                return FolderNames(images.name, labels.name)
    return None


def _are_partners(images: Path, labels: Path) -> bool:
    """Return True where every image has a label of its name, and the labels look like labels."""
    pictures, drawn = find(images, IMAGE_SUFFIXES), find(labels, LABEL_SUFFIXES)
    if not pictures or set(pictures) != set(drawn):
        return False
    some = list(drawn.values())[:4]
    try:
        with opened(next(iter(pictures.values())).read_bytes()) as picture:
            photograph = picture.mode in ("RGB", "RGBA", "CMYK", "YCbCr", "L")
        found = survey([(open_label(path.read_bytes(), str(path)), str(path)) for path in some])
    except (OSError, UserError):
        return False
    return photograph and len(found.numbers | found.colors) <= _CLASSES


def _classes(labels: Sequence[Source], colors: bool) -> tuple[dict[str, Any], str]:
    """Return the content of ``classes.json`` for the values in a sample of the labels, and say it."""
    step = max(1, len(labels) // _SAMPLE)
    found = survey([(open_label(label.read_bytes(), str(label)), str(label)) for label in labels[::step]])
    if found.colorful and not found.indexed:
        if not colors:
            raise UserError(f"{labels[0]}: the labels are colors; save class numbers, one channel, and 255 for void.")
        return _of_colors(sorted(found.colors), labels[0])
    values = sorted(found.numbers | {value for value, _ in found.indexed})
    if values == [0, 255]:
        return {"names": ["background", "object"]}, "for labels of 0 and 255"
    numbers = [value for value in values if value != 255]
    names = [f"class {value}" for value in range(max(numbers, default=0) + 1)]
    if len(names) < 2:
        raise UserError(f"{labels[0]} and others: the labels hold one value, {values}; there is nothing to tell apart.")
    return {"names": names}, f"for the values 0 to {len(names) - 1} of the labels (255 is void)"


def _of_colors(colors: Sequence[Color], label: Source) -> tuple[dict[str, Any], str]:
    if len(colors) > _CLASSES - 1:
        raise UserError(
            f"{label}: labels of {len(colors)} colors, which are no classes: {listed_colors(set(colors))}. Edges that "
            "were smoothed or JPEG do this; export them as PNG, without smoothing."
        )
    names = ["color {}-{}-{}".format(*color) for color in colors]
    said = f"for the {len(colors)} colors of the labels"
    if (0, 0, 0) in colors and len(colors) > 2:
        said += ' (black among them: move it to "void": [[0, 0, 0]] if it means nothing)'
    return {"names": names, "palette": [list(color) for color in colors]}, said
