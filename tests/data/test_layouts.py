"""Layouts of data folders recognized by the names in them, on miniature trees."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import (
    blocks,
    make_ade20k,
    make_cityscapes,
    make_coco,
    make_cocostuff,
    make_voc,
    make_voc_boxes,
    make_yolo,
    picture,
    write,
)
from tiny_data import make_depth, make_folder

from densekd.data import DATASETS
from densekd.data.layouts import LAYOUTS, recognize_layouts, unrecognized, validation_split


def make_camvid(root: Path) -> Path:
    for split in ("train", "val"):
        write(picture(1), root / split / "a.png")
        write(blocks(1, (0, 11, 3)), root / f"{split}annot" / "a.png")
    return root


def make_cocostuff10k(root: Path) -> Path:
    for split in ("train2014", "test2014"):
        write(picture(1), root / "images" / split / "a.jpg")
        write(blocks(1, (0, 1, 171)), root / "annotations" / split / "a_labelTrainIds.png")
    return root


def make_official_coco(root: Path) -> Path:
    make_coco(root / "annotations" / "instances_val2017.json", root / "val2017")
    return root


def make_roboflow(root: Path) -> Path:
    make_coco(root / "valid" / "_annotations.coco.json", root / "valid")
    return root


TREES: dict[str, tuple[str, str, Callable[[Path], Path]]] = {
    "cityscapes": ("cityscapes", "val", make_cityscapes),
    "above cityscapes": ("cityscapes", "val", lambda root: make_cityscapes(root / "cityscapes").parent),
    "ade20k": ("ade20k", "val", make_ade20k),
    "in ade20k": ("ade20k", "val", lambda root: make_ade20k(root) / "ADEChallengeData2016"),
    "voc": ("voc", "val", make_voc),
    "in voc": ("voc", "val", lambda root: make_voc(root) / "VOCdevkit" / "VOC2012"),
    "cocostuff": ("cocostuff", "val", make_cocostuff),
    "cocostuff10k": ("cocostuff10k", "val", make_cocostuff10k),
    "camvid": ("camvid", "val", make_camvid),
    "folder": ("folder", "val", lambda root: make_folder(root, {"val": 2})),
    "depth": ("depth", "val", lambda root: make_depth(root, {"val": 2})),
    "coco": ("coco", "val2017", make_official_coco),
    "roboflow": ("coco", "valid", make_roboflow),
    "voc-boxes": ("voc-boxes", "test", lambda root: make_voc_boxes(root / "VOCdevkit" / "VOC2007").parents[1]),
    "yolo": ("yolo", "val", make_yolo),
}


@pytest.mark.parametrize("tree", TREES)
def test_each_tree_has_one_layout_and_is_read(tree: str, tmp_path: Path) -> None:
    dataset, split, make = TREES[tree]
    (tmp_path / "data").mkdir()
    root = make(tmp_path / "data")
    assert recognize_layouts(root, LAYOUTS) == [dataset]
    assert validation_split(dataset, root) == split
    assert len(DATASETS[dataset](root, split)) > 0


def test_only_what_may_be_meant_is_tried(tmp_path: Path) -> None:
    make_cocostuff(tmp_path)
    make_coco(tmp_path / "annotations" / "instances_val2017.json", tmp_path / "val2017")
    assert recognize_layouts(tmp_path, ["coco", "yolo"]) == ["coco"]
    assert recognize_layouts(tmp_path, ["cocostuff", "voc"]) == ["cocostuff"]


def test_a_folder_of_pictures_is_none(tmp_path: Path) -> None:
    write(np.zeros((4, 4, 3), np.uint8), tmp_path / "a.png")
    assert recognize_layouts(tmp_path, LAYOUTS) == []
    message = str(unrecognized(tmp_path, [], ["cityscapes", "camvid"]))
    assert f"{tmp_path}: no known layout of data; looked for" in message
    assert "cityscapes: leftImg8bit + gtFine" in message
    assert "camvid: val + valannot or test + testannot" in message
    assert "--recipe NAME" in message
    assert f"{tmp_path}: may be voc or folder." in str(unrecognized(tmp_path, ["voc", "folder"], ["voc"]))
