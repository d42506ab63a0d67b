"""Layouts of data folders: recognize which dataset a folder holds by the names in it.

``LAYOUTS`` lists for each dataset the alternatives of what must be there; the functions of
``DATASETS`` then read it and complain where something is missing.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from densekd.data.exports.recognize import export_of
from densekd.errors import UserError

_ADE = ("", "ADEChallengeData2016/", "ade/ADEChallengeData2016/")
_VOC = ("", "VOCdevkit/VOC2012/", "VOC2012/", "VOCAug/")
_VOC_BOXES = ("", "VOCdevkit/VOC2007/", "VOCdevkit/VOC2012/", "VOC2007/", "VOC2012/")

Alternative = tuple[str, ...]
"""Patterns below the root, of which every one must match something."""


def _below(homes: Iterable[str], *names: str) -> tuple[Alternative, ...]:
    """Repeat an alternative for every folder that may hold it."""
    return tuple(tuple(f"{home}{name}" for name in names) for home in homes)


LAYOUTS: dict[str, tuple[Alternative, ...]] = {
    "ade20k": (
        *_below(_ADE, "images/validation", "annotations/validation"),
        *_below(_ADE, "images/training", "annotations/training"),
    ),
    "camvid": (("val", "valannot"), ("test", "testannot"), ("train", "trainannot")),
    "cityscapes": (
        *_below(("", "cityscapes/"), "leftImg8bit", "gtFine"),
        *_below(("", "cityscapes/"), "leftImg8bit", "gtCoarse"),
    ),
    "coco": (("annotations/instances_*.json",), ("instances_*.json",), ("*/_annotations.coco.json",)),
    "cocostuff": (
        ("images/val2017", "annotations/val2017"),
        ("images/val2017", "stuffthingmaps/val2017"),
        ("val2017", "annotations/val2017"),
        ("val2017", "stuffthingmaps/val2017"),
    ),
    "cocostuff10k": (("images/test2014", "annotations/test2014"),),
    "depth": (("depth.json", "images"),),
    "folder": (
        ("classes.json", "images", "labels"),
        ("classes.json", "images", "masks"),
        ("classes.json", "*/images", "*/labels"),
        ("classes.json", "*/images", "*/masks"),
        ("classes.json", "*_mask.*"),
        ("classes.json", "*/*_mask.*"),
        ("labelmap.txt", "SegmentationClass"),
        ("_classes.csv",),
        ("*/_classes.csv",),
    ),
    "shards": (("*.json", "*.tar"),),
    "voc": (*_below(_VOC, "JPEGImages", "SegmentationClass"), *_below(_VOC, "JPEGImages", "SegmentationClassAug")),
    "voc-boxes": _below(_VOC_BOXES, "JPEGImages", "Annotations", "ImageSets/Main"),
    "yolo": (("data.yaml",), ("*.yaml", "images", "labels")),
}
# Exports of annotation tools, whose masks and boxes are drawn from shapes; where there are label files,
# these are meant.
EXPORTS: dict[str, tuple[Alternative, ...]] = {
    "coco-masks": LAYOUTS["coco"],
    "labelme": (("**/*.json",),),
    "labelme-boxes": (("**/*.json",),),
    "labelstudio": (("*.json",),),
    "labelstudio-boxes": (("*.json",),),
    "supervisely": (("meta.json", "*/ann"), ("*/meta.json", "*/*/ann")),
    "supervisely-boxes": (("meta.json", "*/ann"), ("*/meta.json", "*/*/ann")),
    # Without lists: LabelImg's, Roboflow's.
    "voc-boxes": (("**/*.xml",),),
    "yolo-masks": LAYOUTS["yolo"],
}
# Splits to validate on, in the order in which they are looked for; others have ``val``.
_COCO = ("val", "val2017", "val2014", "valid")
_SPLITS = {
    "coco": _COCO,
    "coco-masks": _COCO,
    "voc-boxes": ("val", "valid", "test"),
}
# Where the lists and annotations of a split are.
_COCO_PLACES = ("annotations/instances_{}.json", "instances_{}.json", "{}/_annotations.coco.json")
_PLACES = {
    "coco": _COCO_PLACES,
    "coco-masks": _COCO_PLACES,
    "voc-boxes": (*[f"{home}ImageSets/Main/{{}}.txt" for home in _VOC_BOXES], "{}/*.xml"),
}


def recognize_layouts(root: Path, among: Iterable[str]) -> list[str]:
    """Return the datasets whose layout a folder has.

    Args:
        root: the folder.
        among: names of ``LAYOUTS`` and ``EXPORTS`` that may be meant.
    """
    names = list(dict.fromkeys(among))
    found = [name for name in names if name in LAYOUTS and _has_any(root, LAYOUTS[name])]
    if found:
        return found
    exports = [name for name in names if name in EXPORTS and _has_any(root, EXPORTS[name])]
    if not exports:
        return []
    # Any tool may write JSON: what is in it tells.
    tool = export_of(root)
    for name in exports:
        if name in ("coco-masks", "yolo-masks") or name.removesuffix("-boxes") == tool:
            found.append(name)
    return found


def validation_split(dataset: str, root: Path) -> str:
    """Return the split that a folder is validated on: the first that is there, or ``val``."""
    for split in _SPLITS.get(dataset, ()):
        places = [place.format(split) for place in _PLACES[dataset]]
        if any(any(root.glob(place)) for place in places):
            return split
    return "val"


def unrecognized(root: Path, found: Sequence[str], among: Sequence[str]) -> UserError:
    """Return the error for a folder of no known layout, or of several; it lists what was looked for."""
    name_it = "Give a recipe, whose data section says it: --recipe NAME, or a file whose data.root is this folder."
    if found:
        return UserError(f"{root}: may be {' or '.join(found)}. {name_it}")
    lines = [f"{root}: no known layout of data; looked for"]
    for name in among:
        # The first alternatives show the layout; the rest are the same elsewhere.
        alternatives = LAYOUTS.get(name) or EXPORTS[name]
        shown = " or ".join(" + ".join(alternative) for alternative in alternatives[:2])
        lines.append(f"  {name}: {shown}")
    return UserError("\n".join([*lines, name_it]))


def _has_any(root: Path, alternatives: Iterable[Alternative]) -> bool:
    return any(_has(root, alternative) for alternative in alternatives)


def _has(root: Path, alternative: Alternative) -> bool:
    """Return True where every pattern matches something below the root."""
    return all(any(root.glob(pattern)) for pattern in alternative)
