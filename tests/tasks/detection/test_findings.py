"""The boxes of a split are judged: none that is learnt, classes that never occur, text as iscrowd."""

import json
from pathlib import Path
from typing import Any

import pytest
from dataset_trees import coco_content, make_coco
from tiny_data import make_folder

from densekd.data.coco import coco
from densekd.data.detection import DetectionFiles
from densekd.errors import UserError
from densekd.tasks.detection.check import findings


def files_of(tmp_path: Path, **changes: Any) -> DetectionFiles:
    content = coco_content()
    for one in content["annotations"]:
        one.update(changes)
    make_coco(tmp_path / "instances_val.json", tmp_path / "val", content)
    return coco(tmp_path, "val")


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"area": 0}, "4 have no area"), ({"iscrowd": 1}, "4 are crowds"), ({"bbox": [900, 9, 5, 5]}, "")],
)
def test_no_box_is_learnt(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    files = files_of(tmp_path, **changes)
    (found,) = findings(files, [])
    assert found.level == "nothing"
    count = sum(len(item.truth.boxes) for item in files.items)
    assert f"Of {count} boxes" in found.what
    assert said.replace("4", str(count)) in found.what


def test_no_box_at_all(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"] = []
    make_coco(tmp_path / "instances_val.json", tmp_path / "val", content)
    (found,) = findings(coco(tmp_path, "val"), [])
    assert (found.level, "No image has a box" in found.what) == ("nothing", True)


def test_a_class_that_never_occurs(tmp_path: Path) -> None:
    (found,) = findings(files_of(tmp_path, category_id=7), [])
    assert found.what == "in all 3 images 1 of 2 classes never occur: car."
    assert found.level == "odd"


def test_crowds_as_text_are_read_as_numbers(tmp_path: Path) -> None:
    files = files_of(tmp_path, iscrowd="0")
    assert not any(item.truth.crowd.any() for item in files.items)
    (note,) = files.notes
    assert "iscrowd is text" in note
    assert all(
        item.truth.crowd.all() for item in files_of(tmp_path / "one", iscrowd="1").items if len(item.truth.crowd)
    )
    with pytest.raises(UserError, match="iscrowd must be 0 or 1, not 'no'"):
        files_of(tmp_path / "no", iscrowd="no")


def test_text_files_beside_their_images_are_noticed(tmp_path: Path) -> None:
    from densekd.data.yolo import yolo

    root = make_folder(tmp_path / "data", {"train": 2})
    (root / "data.yaml").write_text(json.dumps({"train": "images/train", "names": ["thing"]}))
    (root / "images/train/000.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    files = yolo(root, "train")
    (note,) = files.notes
    assert "1 of 2 images have a .txt beside them that is not read" in note
    assert "Move the files there" in note
