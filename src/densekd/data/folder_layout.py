"""Layouts of folders with images and label maps: found by the names of folders and files."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from densekd.data.files import IMAGE_SUFFIXES, find
from densekd.data.found import Item, Pairs, without_partner
from densekd.data.label_coding import LOSSY
from densekd.data.listing import is_hidden, list_files
from densekd.errors import UserError

LABEL_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")  # which keep every value
_JPEG = (".jpg", ".jpeg")

# The first is what the documentation says; the others are what people and tools write.
_IMAGES = ("images", "image", "imgs", "img", "JPEGImages")
_LABELS = ("labels", "masks", "annotations", "label", "mask", "annotation", "gt", "SegmentationClass")
MASK_SUFFIXES = ("_mask", "_masks", "_label", "_labels", "_seg", "_gt", "_annotation", "-mask", "-label", "_L", "_M")
_OTHER_NAMES = {"val": ("valid", "validation"), "valid": ("val",), "validation": ("val",)}


@dataclass(frozen=True)
class FolderNames:
    """Names of folders and files, as far as the recipe says them.

    Args:
        images: folder of images; None: one of the usual names.
        labels: folder of labels; None: one of the usual names.
        suffix: what a label's name has after the image's, before the dot; None: what all have.
    """

    images: str | None = None
    labels: str | None = None
    suffix: str | None = None


class Place(NamedTuple):
    """Folders that hold the images and the labels of a split: two, or one of both."""

    images: Path
    labels: Path


def find_split(root: Path, split: str, names: FolderNames) -> Place | None:
    """Return where the images and labels of a split are; None where there is no such split.

    Kinds first (``images/train``, ``labels/train``), splits first (``train/images``,
    ``train/masks``), or both in one folder ``train``.

    Raises:
        UserError: several folders may be meant.
    """
    for name in (split, *_OTHER_NAMES.get(split, ())):
        for between in (_kind_first, _split_first):
            place = between(root, name, names)
            if place is not None:
                return place
        if _holds_pictures(root / name):
            return Place(root / name, root / name)
    return None


def find_pool(root: Path, names: FolderNames) -> Place | None:
    """Return where images and labels without any split are, or those of the only split ``train``."""
    pairs = _pairs(root, root, names)
    if pairs and not _are_splits(pairs.images):
        return pairs
    if _holds_pictures(root):
        return Place(root, root)
    if find_split(root, "val", names) is None:
        return find_split(root, "train", names)
    return None


def list_splits(root: Path, names: FolderNames) -> list[str]:
    """Return the names of the splits that are there."""
    images = [root / name for name in _wanted(names.images, _IMAGES)]
    found: set[str] = set()
    for folder in images:
        if folder.is_dir():
            found.update(one.name for one in folder.iterdir() if one.is_dir() and not is_hidden(one.name))
    for one in root.iterdir():
        if one.is_dir() and not is_hidden(one.name) and _split_first(root, one.name, names) is not None:
            found.add(one.name)
    return sorted(found)


def pair(place: Place, suffix: str | None) -> Sequence[Item]:
    """Pair every image with its label, sorted by stem.

    Args:
        place: of both.
        suffix: between a label's stem and its dot; None: none, or the one that all labels have.

    Raises:
        UserError: no images, labels as JPEG, or images and labels without a partner.
    """
    if place.images == place.labels:
        return _pair_in_one(place.images, suffix)
    images = find(place.images, IMAGE_SUFFIXES)
    if not images:
        raise UserError(f"{place.images}: no images ({', '.join(IMAGE_SUFFIXES)}).")
    # Beside PNGs, other pictures are previews.
    labels = find(place.labels, LABEL_SUFFIXES[:1]) or find(place.labels, LABEL_SUFFIXES)
    if not labels and find(place.labels, _JPEG):
        first = next(iter(find(place.labels, _JPEG).values()))
        raise UserError(f"{first}: labels cannot be JPEG. {LOSSY}.")
    ending = _common_ending(images, labels) if suffix is None else suffix
    by_image = labels.without(ending)
    _require_partners(images, by_image, f"label in {place.labels}", ending)
    _require_partners(by_image, images, f"image in {place.images}", "")
    return Pairs(images, by_image)


def _pair_in_one(folder: Path, suffix: str | None) -> tuple[Item, ...]:
    """Pair images and labels of one folder: ``a.jpg`` with ``a_mask.png``, or with ``a.png``."""
    pictures = _pictures(folder)
    for ending in _wanted(suffix, MASK_SUFFIXES):
        labels = {stem for stem in pictures if ending and stem.endswith(ending)}
        images = {stem: pictures[stem][0] for stem in pictures if stem not in labels}
        if not labels:
            continue
        partners = {stem.removesuffix(ending): _label_of(pictures[stem]) for stem in labels}
        _require_partners(images, partners, f"label in {folder}", ending)
        _require_partners(partners, images, f"image in {folder}", "")
        return tuple(Item(stem, path, partners[stem]) for stem, path in sorted(images.items()))
    # One name, two suffixes: the JPEG is the photograph.
    items = []
    for stem, paths in sorted(pictures.items()):
        photographs = [path for path in paths if path.suffix.lower() in _JPEG]
        others = [path for path in paths if path.suffix.lower() in LABEL_SUFFIXES]
        if len(photographs) != 1 or len(others) != 1:
            raise UserError(
                f"{paths[0]}: no label beside this image; looked for {stem}{MASK_SUFFIXES[0]}.png and the like "
                f"({', '.join(MASK_SUFFIXES)}), and for a PNG of the same name. Write data.options: {{suffix: ...}}, "
                "or put labels into a folder of their own and name it: {labels: FOLDER}."
            )
        items.append(Item(stem, photographs[0], others[0]))
    return tuple(items)


def _label_of(paths: Sequence[Path]) -> Path:
    if len(paths) > 1:
        raise UserError(f"{paths[0]} and {paths[1]} have the same stem; keep one.")
    if paths[0].suffix.lower() in _JPEG:
        raise UserError(f"{paths[0]}: labels cannot be JPEG. {LOSSY}.")
    return paths[0]


def _kind_first(root: Path, split: str, names: FolderNames) -> Place | None:
    for image in _wanted(names.images, _IMAGES):
        if not (root / image / split).is_dir():
            continue
        labels = [root / name / split for name in _wanted(names.labels, _LABELS)]
        found = _the_one([one for one in labels if one.is_dir() and one != root / image / split])
        if found is not None:
            return Place(root / image / split, found)
    return None


def _split_first(root: Path, split: str, names: FolderNames) -> Place | None:
    return _pairs(root / split, root, names)


def _pairs(folder: Path, root: Path, names: FolderNames) -> Place | None:
    """Return the folders of images and labels directly below a folder."""
    for image in _wanted(names.images, _IMAGES):
        if not (folder / image).is_dir():
            continue
        labels = [folder / name for name in _wanted(names.labels, _LABELS)]
        found = _the_one([one for one in labels if one.is_dir()])
        if found is not None:
            return Place(folder / image, found)
    return None


def _the_one(folders: Sequence[Path]) -> Path | None:
    """Return the only folder of labels; of several the one with the documented name."""
    if len(folders) > 1 and _LABELS[0] not in {*folders[0].parts[-2:]}:
        listed = " and ".join(map(str, folders))
        raise UserError(f"{listed} may both be the labels; say which with data.options: {{labels: NAME}}.")
    return folders[0] if folders else None


def _are_splits(folder: Path) -> bool:
    """Return True where a folder of images is divided into the usual splits."""
    return any((folder / name).is_dir() for name in ("train", *_OTHER_NAMES))


def _wanted(name: str | None, usual: Iterable[str]) -> tuple[str, ...]:
    return tuple(usual) if name is None else (name,)


def _holds_pictures(folder: Path) -> bool:
    if not folder.is_dir():
        return False
    return any(one.suffix.lower() in IMAGE_SUFFIXES and not is_hidden(one.name) for one in folder.iterdir())


def _pictures(folder: Path) -> dict[str, list[Path]]:
    """List the pictures of a folder by stem, several of one stem included."""
    found: dict[str, list[Path]] = {}
    for path in list_files(folder):
        if path.suffix.lower() not in IMAGE_SUFFIXES + LABEL_SUFFIXES:
            continue
        found.setdefault(path.relative_to(folder).with_suffix("").as_posix(), []).append(path)
    return found


def _common_ending(images: Mapping[str, Path], labels: Mapping[str, Path]) -> str:
    """Return what every label's stem has after its image's, or nothing."""
    if not without_partner(images, labels):
        return ""
    first = next(iter(images))
    endings = [label.removeprefix(first) for label in labels if label.startswith(first) and label != first]
    fitting = [one for one in endings if all(stem + one in labels for stem in images)]
    return fitting[0] if len(fitting) == 1 else ""


def _require_partners(files: Mapping[str, Path], partners: Mapping[str, Path], what: str, ending: str) -> None:
    """Refuse files without a partner; what is nearly one is named."""
    alone = without_partner(files, partners)
    if not alone:
        return
    near = [path.name for stem, path in partners.items() if stem.startswith(alone[0])]
    hint = ""
    if near:
        hint = f" Near it is {near[0]}: data.options: {{suffix: ...}} says what a label's name has more."
    elif ending:
        hint = f" Labels were expected to end in '{ending}', as data.options.suffix says or most do."
    raise UserError(f"{len(alone)} of {len(files)} files have no {what}, the first: {files[alone[0]]}.{hint}")
