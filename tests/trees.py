"""Miniature trees of the benchmarks in their official layouts, made from nothing."""

import json
from collections.abc import Sequence
from pathlib import Path

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
