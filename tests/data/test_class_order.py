"""Classes are compared by name: mapped in another order, matched where fewer are listed, refused otherwise."""

import json
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import coco_content, make_coco
from PIL import Image
from tiny_data import VOID, make_folder

from densekd.data.class_order import follow, positions, reordered
from densekd.data.classes import Classes
from densekd.data.coco import coco
from densekd.data.folder import folder
from densekd.data.voc import voc
from densekd.errors import RecipeError


@pytest.mark.parametrize(
    ("found", "among", "places"),
    [
        (["a", "b"], ["b", "a"], (1, 0)),
        (["b"], ["a", "b", "c"], (1,)),
        (["Traffic_light", "bed "], ["bed", "traffic light"], (1, 0)),
        (["a", "d"], ["a", "b"], None),
        # Names that differ in spelling alone are told apart as they stand.
        (["a-b", "ab"], ["ab", "a-b"], (1, 0)),
    ],
)
def test_names_are_found_among_others(found: list[str], among: list[str], places: tuple[int, ...] | None) -> None:
    assert positions(found, among) == places


def named(*names: str, ignore_index: int = 255) -> Classes:
    return Classes(names, tuple((k, k, k) for k in range(len(names))), ignore_index)


def test_colors_and_submission_values_go_along() -> None:
    classes = Classes(("a", "b", "c"), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), 255, (7, 8, 9))
    assert reordered(classes, ("c", "a", "b")) == Classes(
        ("c", "a", "b"), ((3, 3, 3), (1, 1, 1), (2, 2, 2)), 255, (9, 7, 8)
    )


def test_labels_in_another_order_are_counted_anew(tmp_path: Path) -> None:
    files = folder(make_folder(tmp_path / "data", {"train": 2}), "train")
    wanted = named("class2", "class0", "class1", ignore_index=200)
    followed, note = follow(files, wanted, (), "val", "train")
    assert note == "classes: val counts them in another order than train; they were matched by name."
    table = np.zeros(256, np.uint8)
    table[[0, 1, 2, VOID]] = [1, 2, 0, 200]
    for index in range(2):
        assert np.array_equal(followed.label(index), table[files.label(index)])
        assert np.array_equal(followed.image(index), files.image(index))
    assert followed.classes == wanted


def test_a_wrong_value_is_still_found_in_its_file(tmp_path: Path) -> None:
    root = make_folder(tmp_path / "data", {"train": 1})
    Image.fromarray(np.full((32, 48), 3, np.uint8)).save(root / "labels/train/000.png")
    files, _ = follow(folder(root, "train"), named("class2", "class0", "class1", "class3"), (), "val", "train")
    with pytest.raises(Exception, match=r"labels/train/000\.png: label value 3"):
        files.label(0)


def test_boxes_follow_names_and_not_ids(tmp_path: Path) -> None:
    content = coco_content()
    make_coco(tmp_path / "instances_train.json", tmp_path / "train", coco_content())
    content["categories"] = [{"id": 10 - one["id"], "name": one["name"]} for one in content["categories"]]
    for one in content["annotations"]:
        one["category_id"] = 10 - one["category_id"]
    make_coco(tmp_path / "instances_val.json", tmp_path / "val", content)
    train, val = coco(tmp_path, "train"), coco(tmp_path, "val")
    assert val.classes.names == tuple(reversed(train.classes.names))
    followed, note = follow(val, train.classes, train.categories, "val", "train")
    assert note is not None
    assert (followed.classes, followed.categories) == (train.classes, train.categories)
    for ours, theirs in zip(followed.items, train.items, strict=True):
        assert ours.truth.labels.tolist() == theirs.truth.labels.tolist()


def test_fewer_categories_are_matched_and_others_refused(tmp_path: Path) -> None:
    content = coco_content()
    make_coco(tmp_path / "instances_train.json", tmp_path / "train", coco_content())
    content["categories"] = [one for one in content["categories"] if one["name"] == "person"]
    content["annotations"] = [one for one in content["annotations"] if one["category_id"] == 7]
    make_coco(tmp_path / "instances_val.json", tmp_path / "val", content)
    train, val = coco(tmp_path, "train"), coco(tmp_path, "val")
    followed, note = follow(val, train.classes, train.categories, "val", "train")
    assert note == "classes: val has 1 of the 2 of train (person); they were matched by name."
    assert {label for item in followed.items for label in item.truth.labels.tolist()} == {1}
    with pytest.raises(RecipeError, match=r"train: car, person\. val: person\. Only train has car"):
        follow(train, val.classes, val.categories, "train", "val")


def test_voc_folders_have_their_own_classes(tmp_path: Path) -> None:
    for name in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (tmp_path / name).mkdir(parents=True)
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "JPEGImages/a.jpg")
    Image.fromarray(np.ones((4, 4), np.uint8)).save(tmp_path / "SegmentationClass/a.png")
    (tmp_path / "ImageSets/Segmentation/val.txt").write_text("a\n")
    assert len(voc(tmp_path, "val").classes.names) == 21
    (tmp_path / "classes.json").write_text(json.dumps({"names": ["soil", "weed"]}))
    assert voc(tmp_path, "val").classes.names == ("soil", "weed")
