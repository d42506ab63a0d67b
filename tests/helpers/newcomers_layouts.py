"""Ways in which people keep segmentation data: what each is, and the remedy where it is refused."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from annotation_exports import (
    make_cvat_coco,
    make_label_studio,
    make_labelme,
    make_roboflow_coco,
    make_supervisely,
    make_yolo_polygons,
    save_picture,
    truth,
)
from PIL import Image

from densekd.data import DATASETS
from densekd.data.shards import write_shards

CLASS_NAMES = ["background", "car", "tree"]
PALETTE = [[0, 0, 0], [255, 0, 0], [0, 255, 0]]
HOLDOUT = {"split": {"val": 0.25, "seed": 0}}
Write = Callable[[np.ndarray, Path], None]


class Layout(NamedTuple):
    """One way.

    Args:
        make: writes it.
        data: what the recipe's ``data`` says beside the root.
        classes: names that are found.
        order: which shape is on top.
        refused: message before ``remedy`` is done; None where it is read as it is.
        remedy: done after the message: a change of the files, or of ``data``.
    """

    make: Callable[[Path], object]
    data: Mapping[str, Any]
    classes: tuple[str, ...] = tuple(CLASS_NAMES)
    order: tuple[str, ...] = ("car", "tree")
    refused: str | None = None
    remedy: Callable[[Path], object] | Mapping[str, Any] | None = None


def write_label(label: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(label).save(path)


def pairs(root: Path, image: str, label: str, count: int = 8, save: Write = write_label) -> Path:
    """Write images and labels at paths with {split} and {k}; without a split, all in one place."""
    for split in ("train", "val") if "{split}" in image else ("",):
        for k in range(count):
            save_picture(k, root / image.format(split=split, k=k))
            save(truth(k), root / label.format(split=split, k=k))
    return root


def named(root: Path, **more: Any) -> Path:
    content = {"names": CLASS_NAMES, **more}
    (root / "classes.json").write_text(json.dumps(content))
    return root


def usual(root: Path, save: Write = write_label, **more: Any) -> Path:
    return named(pairs(root, "images/{split}/{k}.png", "labels/{split}/{k}.png", 2, save), **more)


def shards(root: Path) -> None:
    source = usual(root / "source")
    for split in ("train", "val"):
        files = DATASETS["folder"](source, split)
        for _ in write_shards(files, split, root, 500):
            pass


def jpeg(root: Path) -> None:
    named(pairs(root, "images/{split}/{k}.png", "labels/{split}/{k}.jpg", 2))


def as_png(root: Path) -> None:
    """Export the labels again as PNG."""
    for path in root.glob("labels/*/*.jpg"):
        path.unlink()
    usual(root)


def binary(label: np.ndarray, path: Path) -> None:
    write_label(np.where(label > 0, 255, 0).astype(np.uint8), path)


def voc(root: Path) -> None:
    named(pairs(root, "JPEGImages/{split}{k}.jpg", "SegmentationClass/{split}{k}.png", 2))
    lists = root / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    for split in ("train", "val"):
        (lists / f"{split}.txt").write_text(f"{split}0\n{split}1\n")


def cvat(root: Path) -> None:
    pairs(root, "JPEGImages/{k}.jpg", "SegmentationClass/{k}.png", 8, colored)
    lines = [f"{name}:{r},{g},{b}::" for name, (r, g, b) in zip(CLASS_NAMES, PALETTE, strict=True)]
    (root / "labelmap.txt").write_text("# label:color_rgb:parts:actions\n" + "\n".join(lines) + "\n")
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "default.txt").write_text("\n".join(map(str, range(8))))


def roboflow(root: Path) -> None:
    for split in ("train", "valid"):
        pairs(root, f"{split}/{{k}}.jpg", f"{split}/{{k}}_mask.png", 2)
        text = "Pixel Value, Class\n" + "".join(f"{value}, {name}\n" for value, name in enumerate(CLASS_NAMES))
        (root / split / "_classes.csv").write_text(text)


def colored(label: np.ndarray, path: Path) -> None:
    write_label(np.array(PALETTE, np.uint8)[label], path)


def gray(label: np.ndarray, path: Path) -> None:
    write_label(np.repeat(label[..., None], 3, 2), path)


def from_one(label: np.ndarray, path: Path) -> None:
    shifted = label + 1
    shifted[0] = 0
    write_label(shifted, path)


SUFFIX_MASK = "{k}_mask.png"
LAYOUTS = {
    "as documented": Layout(usual, {}),
    "folders in folders": Layout(
        lambda root: named(pairs(root, "images/{split}/drive{k}/a.png", "labels/{split}/drive{k}/a.png", 2)), {}
    ),
    "shards": Layout(shards, {"dataset": "shards"}),
    "no splits": Layout(
        lambda root: named(pairs(root, "images/{k}.png", "masks/{k}.png")), {}, refused=r"data\.split: \{val: 0\.2",
        remedy=HOLDOUT,
    ),
    "train only": Layout(
        lambda root: named(pairs(root, "images/train/{k}.png", "labels/train/{k}.png")), {},
        refused=r"no split 'val'; there is train.*data\.split: \{val: 0\.2", remedy=HOLDOUT,
    ),
    "splits first": Layout(lambda root: named(pairs(root, "{split}/images/{k}.png", "{split}/masks/{k}.png", 2)), {}),
    "colors": Layout(lambda root: usual(root, colored, palette=PALETTE), {}),
    "colors without a palette": Layout(
        lambda root: usual(root, colored), {}, refused=r'labels are RGB colors.*Write "palette": \[\[r, g, b\]',
        remedy=lambda root: named(root, palette=PALETTE),
    ),
    "gray numbers as RGB": Layout(lambda root: usual(root, gray), {}),
    "0 is void": Layout(lambda root: usual(root, from_one, ignore_index=0), {}),
    "0 is void by the recipe": Layout(lambda root: usual(root, from_one), {"options": {"ignore": [0]}}),
    "0 and 255": Layout(lambda root: usual(root, binary, names=["road", "car"]), {}, ("road", "car")),
    "a.jpg and a_mask.png": Layout(
        lambda root: named(pairs(root, "{split}/{k}.jpg", "{split}/" + SUFFIX_MASK, 2)), {}
    ),
    "JPEG labels": Layout(jpeg, {}, refused=r"labels cannot be JPEG\. .*Export the labels again as PNG", remedy=as_png),
    "Pascal VOC with own classes": Layout(voc, {"dataset": "voc"}),
    "CVAT's masks": Layout(cvat, {}, refused=r"data\.split: \{val: 0\.2", remedy=HOLDOUT),
    "Roboflow's masks": Layout(roboflow, {}),
    "COCO's polygons from CVAT": Layout(
        lambda root: make_cvat_coco(root, 8), {}, refused="write data.dataset: coco-masks",
        remedy={"dataset": "coco-masks", **HOLDOUT},
    ),
    "COCO's polygons from Roboflow": Layout(
        make_roboflow_coco, {}, refused="write data.dataset: coco-masks",
        remedy={"dataset": "coco-masks", "val": "valid"},
    ),
    "YOLO's polygons": Layout(
        make_yolo_polygons, {}, order=("tree", "car"), refused="write data.dataset: yolo-masks",
        remedy={"dataset": "yolo-masks"},
    ),
    "Label Studio": Layout(
        lambda root: make_label_studio(root, 8), {}, refused="write data.dataset: labelstudio",
        remedy={"dataset": "labelstudio", **HOLDOUT},
    ),
    "Label Studio's brushes": Layout(
        lambda root: make_label_studio(root, 8, brush=True), {"dataset": "labelstudio"},
        refused=r"data\.split: \{val: 0\.2", remedy=HOLDOUT,
    ),
    "Supervisely": Layout(
        lambda root: make_supervisely(root, 8), {}, refused="write data.dataset: supervisely",
        remedy={"dataset": "supervisely", **HOLDOUT},
    ),
    "LabelMe": Layout(
        lambda root: make_labelme(root, 8), {}, refused="write data.dataset: labelme",
        remedy={"dataset": "labelme", **HOLDOUT},
    ),
}  # fmt: skip
