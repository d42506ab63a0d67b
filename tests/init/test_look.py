"""Data folders that nobody described: read as what they are, or refused with a remedy."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile
from dataset_trees import make_ade20k, make_cityscapes, make_coco, make_voc_boxes, make_yolo
from newcomers_layouts import LAYOUTS, colored, pairs, usual, write_label
from PIL import Image
from tiny_data import make_depth

from densekd.data.files import SegmentationFiles
from densekd.errors import RecipeError, UserError
from densekd.init.look import look

# These hold boxes as well, which is what they are usually kept for.
_BOXES = ("COCO's polygons from CVAT", "COCO's polygons from Roboflow", "YOLO's polygons")


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_is_found_or_refused_with_its_remedy(name: str, tmp_path: Path) -> None:
    layout, root = LAYOUTS[name], tmp_path / "data"
    root.mkdir()
    layout.make(root)
    if name in ("JPEG labels", "colors without a palette"):
        # No option of ours mends these files; the message says what does.
        with pytest.raises(UserError, match=layout.refused):
            look(root)
        return
    if name == "0 is void by the recipe":
        pytest.skip("only a person knows that 0 means nothing here")
    found = look(root, "segmentation" if name in _BOXES else None)
    assert found.task == "segmentation"
    assert isinstance(found.train, SegmentationFiles)
    assert found.train.classes.names == layout.classes
    assert len(found.train) >= 2
    assert len(found.val) >= 1
    assert not {item.stem for item in found.train.items} & {item.stem for item in found.val.items} or name not in (
        "no splits",
        "train only",
    )


@pytest.mark.parametrize("name", _BOXES)
def test_boxes_are_meant_and_masks_are_offered(name: str, tmp_path: Path) -> None:
    LAYOUTS[name].make(tmp_path)
    found = look(tmp_path)
    assert found.task == "detection"
    assert any("--task segmentation" in note for note in found.notes)


def test_detection_and_depth_are_found(tmp_path: Path) -> None:
    coco = tmp_path / "coco"
    for split in ("train", "val"):
        make_coco(coco / f"instances_{split}.json", coco / split)
    make_voc_boxes(tmp_path / "voc")
    make_yolo(tmp_path / "yolo")
    make_depth(tmp_path / "depth", {"train": 3, "val": 2})
    found = {name: look(tmp_path / name) for name in ("coco", "voc", "yolo", "depth")}
    assert {name: one.task for name, one in found.items()} == {
        "coco": "detection",
        "voc": "detection",
        "yolo": "detection",
        "depth": "depth",
    }
    assert found["voc"].data.dataset == "voc-boxes"


def test_benchmarks_are_found(tmp_path: Path) -> None:
    assert look(make_cityscapes(tmp_path / "cityscapes")).data.dataset == "cityscapes"
    assert look(make_ade20k(tmp_path / "ade")).data.dataset == "ade20k"


def test_a_folder_around_the_data_is_entered(tmp_path: Path) -> None:
    usual(tmp_path / "archive" / "streets")
    found = look(tmp_path / "archive")
    assert found.data.root == str(tmp_path / "archive" / "streets")


def test_classes_are_written_where_nobody_lists_them(tmp_path: Path) -> None:
    pairs(tmp_path, "images/{split}/{k}.png", "labels/{split}/{k}.png", 3)
    found = look(tmp_path)
    assert json.loads((tmp_path / "classes.json").read_text()) == {"names": ["class 0", "class 1", "class 2"]}
    assert any("edit the names" in note for note in found.notes)
    # A second look reads what was written, or what a person made of it.
    assert look(tmp_path).train.classes.names == found.train.classes.names


def test_colors_become_classes(tmp_path: Path) -> None:
    pairs(tmp_path, "images/{split}/{k}.png", "labels/{split}/{k}.png", 3, colored)
    found = look(tmp_path)
    content = json.loads((tmp_path / "classes.json").read_text())
    assert content["palette"] == [[0, 0, 0], [0, 255, 0], [255, 0, 0]]
    assert found.train.classes.names[1] == "color 0-255-0"
    assert any('move it to "void": [[0, 0, 0]]' in note for note in found.notes)


def test_folders_of_any_name_are_paired(tmp_path: Path) -> None:
    pairs(tmp_path, "photos/{k}.png", "truth/{k}.png")
    found = look(tmp_path)
    assert found.data.options == {"images": "photos", "labels": "truth"}
    assert len(found.train) + len(found.val) == 8


def test_what_is_no_data_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such data folder"):
        look(tmp_path / "nowhere")
    with pytest.raises(RecipeError, match="--task boxes: there is"):
        look(tmp_path, "boxes")
    (tmp_path / "notes.txt").write_text("nothing")
    with pytest.raises(UserError, match=r"(?s)no known layout of data.*images/train/a\.jpg"):
        look(tmp_path)
    unread = (("cvat/annotations.xml", "CVAT's own XML.*'COCO 1.0'"), ("medical/1/scan.NII.gz", "NIfTI.*data.bands: 1"))
    for name, remedy in unread:
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.touch()
        with pytest.raises(UserError, match=remedy):
            look(tmp_path / name.partition("/")[0])


def test_labels_of_one_value_are_nothing_to_learn(tmp_path: Path) -> None:
    def constant(label: np.ndarray, path: Path) -> None:
        write_label(np.zeros_like(label), path)

    pairs(tmp_path, "images/{split}/{k}.png", "labels/{split}/{k}.png", 3, constant)
    with pytest.raises(UserError, match="nothing to tell apart"):
        look(tmp_path)
    assert not (tmp_path / "classes.json").exists()


def test_a_test_split_is_validated_on_where_there_is_no_other(tmp_path: Path) -> None:
    usual(tmp_path)
    for kind in ("images", "labels"):
        shutil.move(tmp_path / kind / "val", tmp_path / kind / "test")
    found = look(tmp_path)
    assert found.data.val == "test"
    assert any("'test' is validated on" in note for note in found.notes)


def test_bands_beyond_colors_are_read(tmp_path: Path) -> None:
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for k in range(6):
        values = np.full((32, 48, 4), 9000 * k, np.uint16)
        tifffile.imwrite(tmp_path / "images" / f"{k}.tif", values, photometric="rgb", extrasamples=["unspecified"])
        Image.fromarray(np.arange(32 * 48, dtype=np.uint8).reshape(32, 48) % 3).save(tmp_path / "masks" / f"{k}.png")
    found = look(tmp_path)
    assert found.data.bands == 4
    assert any("4 bands" in note for note in found.notes)
    # Transparency is no band of its own.
    for k in range(6):
        values = np.full((32, 48, 4), 40 * k, np.uint8)
        tifffile.imwrite(tmp_path / "images" / f"{k}.tif", values, photometric="rgb", extrasamples=["unassalpha"])
    assert look(tmp_path).data.bands == 3
