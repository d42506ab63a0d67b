"""Miniature trees of the benchmarks in their official layouts, made from nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIZE = (64, 128)
CITIES = {"train": ("aachen", "bochum"), "val": ("frankfurt",), "train_extra": ("erlangen",)}


def picture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return noise ``[H, W, 3]``."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def blocks(seed: int, values: Sequence[int], size: tuple[int, int] = SIZE) -> np.ndarray:
    """Return a label ``[H, W]`` of 8 x 8 blocks of some values; the first is everywhere in the first row of blocks."""
    height, width = size
    drawn = np.random.default_rng(seed).choice(np.array(values), (height // 8, width // 8))
    drawn[0] = values[0]
    return drawn.repeat(8, 0).repeat(8, 1).astype(np.uint8)


def write(array: np.ndarray, path: Path) -> None:
    """Write an image, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def make_cityscapes(root: Path, size: tuple[int, int] = SIZE) -> Path:
    """Write ``leftImg8bit``, ``gtFine`` and ``gtCoarse`` with label ids and the polygons that they are drawn from."""
    names = {0: "unlabeled", 3: "out of roi", 7: "road", 8: "sidewalk", 24: "person", 26: "car", 33: "bicycle"}
    for split, cities in CITIES.items():
        kinds = ("gtCoarse",) if split == "train_extra" else ("gtFine", "gtCoarse")
        for city in cities:
            for k in range(2):
                stem = f"{city}_{k:06}_000019"
                write(picture(k, size), root / "leftImg8bit" / split / city / f"{stem}_leftImg8bit.png")
                label = np.zeros(size, dtype=np.uint8)
                objects = []
                rng = np.random.default_rng(k + len(city))
                for value in (3, 7, 8, 24, 26, 33, 33):
                    top, left = int(rng.integers(0, size[0] - 9)), int(rng.integers(0, size[1] - 17))
                    label[top : top + 9, left : left + 17] = value
                    # The official drawing includes the last row and column.
                    corners = [[left, top], [left + 16, top], [left + 16, top + 8], [left, top + 8]]
                    objects.append({"label": names[value], "polygon": corners})
                for kind in kinds:
                    base = root / kind / split / city / f"{stem}_{kind}"
                    write(label, Path(f"{base}_labelIds.png"))
                    content = {"imgHeight": size[0], "imgWidth": size[1], "objects": objects}
                    Path(f"{base}_polygons.json").write_text(json.dumps(content))
                    instances = label.astype(np.uint16)
                    write(instances, Path(f"{base}_instanceIds.png"))
    return root


def make_ade20k(root: Path) -> Path:
    """Write ``ADEChallengeData2016``: label 0 is void, 150 the last class."""
    home = root / "ADEChallengeData2016"
    for part in ("training", "validation"):
        for k in range(2):
            stem = f"ADE_{part}_{k:08}"
            (home / "images" / part).mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture(k)).save(home / "images" / part / f"{stem}.jpg")
            write(blocks(k, (0, 1, 2, 150)), home / "annotations" / part / f"{stem}.png")
    return root


def make_voc(root: Path) -> Path:
    """Write ``VOCdevkit/VOC2012`` with indexed labels, lists, and an augmented image that only ``aug.txt`` names."""
    home = root / "VOCdevkit" / "VOC2012"
    lists = {"train": ["2007_000032"], "val": ["2007_000033"], "aug": ["2008_000002"]}
    (home / "ImageSets" / "Segmentation").mkdir(parents=True)
    (home / "JPEGImages").mkdir()
    for name, stems in lists.items():
        (home / "ImageSets" / "Segmentation" / f"{name}.txt").write_text("\n".join(stems) + "\n")
        for k, stem in enumerate(stems):
            Image.fromarray(picture(k)).save(home / "JPEGImages" / f"{stem}.jpg")
            label = blocks(k, (255, 0, 1, 20))
            write(label, home / "SegmentationClassAug" / f"{stem}.png")
            if name != "aug":
                indexed = Image.fromarray(label)
                indexed.putpalette([value % 256 for value in range(768)])
                (home / "SegmentationClass").mkdir(exist_ok=True)
                indexed.save(home / "SegmentationClass" / f"{stem}.png")
    return root


def make_cocostuff(root: Path) -> Path:
    """Write 164k's layout; the labels hold the first, the last and an unused id."""
    for part in ("train2017", "val2017"):
        (root / "images" / part).mkdir(parents=True)
        for k in range(2):
            Image.fromarray(picture(k)).save(root / "images" / part / f"{k:012}.jpg")
            write(blocks(k, (0, 181, 10, 12, 255)), root / "annotations" / part / f"{k:012}.png")
    return root


def coco_content() -> dict[str, Any]:
    """Return COCO annotations of three pictures of 64 x 128: a car, a crowd and a speck; nothing; a person.

    The categories are neither sorted nor without gaps.
    """
    categories = [{"id": 7, "name": "person"}, {"id": 3, "name": "car"}]
    images = [{"id": k, "file_name": f"{k:03}.png", "height": SIZE[0], "width": SIZE[1]} for k in (30, 10, 20)]
    boxes = [
        {"id": 1, "image_id": 30, "category_id": 7, "bbox": [1.5, 2, 10, 20], "area": 150.5, "iscrowd": 0},
        {"id": 2, "image_id": 10, "category_id": 3, "bbox": [100, 10, 40, 30], "area": 900, "iscrowd": 0},
        {"id": 5, "image_id": 10, "category_id": 7, "bbox": [0, 0, 50, 60], "area": 2000, "iscrowd": 1},
        {"id": 9, "image_id": 10, "category_id": 7, "bbox": [40.3, 5, 1, 1]},
    ]
    return {"images": images, "annotations": boxes, "categories": categories}


def make_coco(file: Path, images: Path, content: dict[str, Any] | None = None) -> Path:
    """Write annotations, :func:`coco_content` unless others are given, and a picture for each image."""
    content = coco_content() if content is None else content
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    for k, image in enumerate(content["images"]):
        write(picture(k), images / image["file_name"])
    return file


def voc_xml(boxes: Sequence[tuple[str, Sequence[float], int]], size: tuple[int, int] = SIZE) -> str:
    """Return one annotation of Pascal VOC; a box is name, corners and whether it is difficult."""
    objects = (
        f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin>"
        f"<xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, (x1, y1, x2, y2), difficult in boxes
    )
    height, width = size
    head = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    return f"<annotation>{head}{''.join(objects)}</annotation>"


def make_voc_boxes(home: Path) -> Path:
    """Write one year of Pascal VOC: two pictures to learn from, the second without objects, and one to test on."""
    (home / "ImageSets" / "Main").mkdir(parents=True)
    (home / "Annotations").mkdir()
    for name, stems in {"trainval": ["000012", "000005"], "test": ["000001"]}.items():
        (home / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(stems) + "\n")
        for k, stem in enumerate(stems):
            write(picture(k), home / "JPEGImages" / f"{stem}.jpg")
            boxes = [("dog", (1, 1, 128, 64), 0), ("person", (9, 5, 9, 5), 0), ("dog", (3, 4, 10, 20), 1)]
            (home / "Annotations" / f"{stem}.xml").write_text(voc_xml(boxes if stem != "000005" else []))
    return home


def make_yolo(root: Path) -> Path:
    """Write ``data.yaml``, ``images`` and ``labels``: of the two training images the second has no boxes."""
    (root / "labels" / "train").mkdir(parents=True)
    for split, stems in {"train": ["a", "b"], "val": ["c"]}.items():
        for k, stem in enumerate(stems):
            write(picture(k), root / "images" / split / f"{stem}.png")
    (root / "labels" / "train" / "a.txt").write_text("1 0.5 0.5 0.25 0.5\n\n0 0.125 0.25 0.0625 0.125\n")
    (root / "data.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames: {0: cell, 1: dust}\n")
    return root
