"""COCO's layouts are found and read; whatever is wrong is named with its file and id."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_trees import coco_content, make_coco, picture, write

from densekd.data import DATASETS
from densekd.data.coco import coco
from densekd.data.coco_flat import FlatItems
from densekd.data.detection import DetectionFiles
from densekd.errors import UserError


@pytest.mark.parametrize(
    ("file", "images"),
    [
        ("annotations/instances_{}.json", "{}"),
        ("annotations/instances_{}.json", "images/{}"),
        ("instances_{}.json", "{}"),
        ("instances_{}.json", "images/{}"),
        ("{}/_annotations.coco.json", "{}"),
    ],
)
def test_a_layout_is_found(tmp_path: Path, file: str, images: str) -> None:
    for split in ("train2017", "val2017"):
        make_coco(tmp_path / file.format(split), tmp_path / images.format(split))
    files = DATASETS["coco"](tmp_path, "val2017")
    assert isinstance(files, DetectionFiles)
    assert [item.image for item in files.items] == [
        tmp_path / images.format("val2017") / f"{k:03}.png" for k in (10, 20, 30)
    ]


@pytest.mark.parametrize("root", [".", "elsewhere"])
def test_any_pair_is_found(tmp_path: Path, root: str) -> None:
    make_coco(tmp_path / "labels/mine.json", tmp_path / "pictures/all")
    here = "" if root == "." else f"{tmp_path}/"
    files = coco(tmp_path / root, f"{here}labels/mine.json@{here}pictures/all")
    assert [item.stem for item in files.items] == ["010", "020", "030"]
    assert files.image(1).tolist() == picture(2).tolist()


def test_what_is_read(tmp_path: Path) -> None:
    make_coco(tmp_path / "instances_val.json", tmp_path / "val")
    files = coco(tmp_path, "val")
    assert files.classes.names == ("car", "person")
    assert len(set(files.classes.palette)) == 2
    assert files.categories == (3, 7)
    assert [(item.stem, item.number, item.size) for item in files.items] == [
        ("010", 10, (64, 128)),
        ("020", 20, (64, 128)),
        ("030", 30, (64, 128)),
    ]
    boxes, labels, crowd, area = files.items[0].truth
    # As they are: the car reaches out of the image.
    assert np.array_equal(boxes, np.array([[100, 10, 140, 40], [0, 0, 50, 60], [40.3, 5, 41.3, 6]], np.float32))
    assert labels.tolist() == [0, 1, 1]
    assert crowd.tolist() == [False, True, False]
    assert area.tolist() == [900, 2000, 1]
    assert files.items[1].truth.boxes.shape == (0, 4)
    assert files.items[2].truth.boxes.tolist() == [[1.5, 2, 11.5, 22]]


def test_boxes_without_area_are_kept_for_scores(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"] = [{"id": 1, "image_id": 10, "category_id": 3, "bbox": [5, 6, 0, -3], "area": 0}]
    make_coco(tmp_path / "instances_val.json", tmp_path / "val", content)
    assert coco(tmp_path, "val").items[0].truth.boxes.tolist() == [[5, 6, 5, 3]]


def test_test_images_have_no_annotations(tmp_path: Path) -> None:
    content = coco_content()
    del content["annotations"]
    make_coco(tmp_path / "annotations/image_info_test.json", tmp_path / "test", content)
    files = coco(tmp_path, "annotations/image_info_test.json@test")
    assert [len(item.truth.boxes) for item in files.items] == [0, 0, 0]


def test_images_in_folders_keep_them_in_their_stems(tmp_path: Path) -> None:
    content = coco_content()
    for image in content["images"]:
        image["file_name"] = f"camera.1/{image['file_name']}"
    make_coco(tmp_path / "instances_val.json", tmp_path / "val", content)
    assert coco(tmp_path, "val").items[0].stem == "camera.1/010"


def change(kind: str, position: int, **values: Any) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[kind][position].update(values)


def without(kind: str, position: int, key: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: content[kind][position].pop(key)


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (change("annotations", 1, image_id=99), "annotations[1] with id 2: image_id 99 is the id of no image; add"),
        (change("annotations", 3, category_id=0), "annotations[3] with id 9: category_id 0 is the id of no category"),
        (change("annotations", 2, id=1), "annotations[2] with id 1: this id was there before; give each of the anno"),
        (change("images", 2, id=30), "images[2] with id 30: this id was there before"),
        (change("categories", 1, id=7), "categories[1] with id 7: this id was there before"),
        (change("categories", 1, name="person"), "two classes are named 'person'; rename one"),
        (
            change("annotations", 0, bbox=[1, 2, 3]),
            "annotations[0] with id 1: bbox must be four finite numbers, x, y, width",
        ),
        (
            change("annotations", 0, bbox=[1, 2, 3, float("nan")]),
            "annotations[0] with id 1: bbox must be four finite numbers",
        ),
        (change("annotations", 0, bbox=None), "annotations[0] with id 1: bbox must be four finite numbers"),
        (
            change("annotations", 0, bbox={"1": 1, "2": 2, "3": 3, "4": 4}),
            "with id 1: bbox must be four finite numbers",
        ),
        (change("annotations", 0, bbox="1234"), "annotations[0] with id 1: bbox must be four finite numbers"),
        (change("annotations", 0, bbox=[10**400, 1, 1, 1]), "annotations[0] with id 1: bbox must be four finite"),
        (change("annotations", 0, bbox=[1e300, 1, 1, 1]), "annotations[0] with id 1: bbox must be four finite"),
        (change("annotations", 0, image_id=[2]), "annotations[0] with id 1: image_id [2] is the id of no image"),
        (change("annotations", 0, category_id={}), "annotations[0] with id 1: category_id {} is the id of no category"),
        (change("annotations", 0, iscrowd=""), "annotations[0] with id 1: iscrowd must be 0 or 1, not ''"),
        (change("annotations", 0, iscrowd=[]), "annotations[0] with id 1: iscrowd must be 0 or 1, not []"),
        (change("annotations", 0, iscrowd={}), "annotations[0] with id 1: iscrowd must be 0 or 1, not {}"),
        (change("annotations", 0, area="wide"), "annotations[0] with id 1: could not convert string to float: 'wide'"),
        (change("annotations", 0, id="x"), "annotations[0]: 'x' must be a whole number"),
        (change("images", 0, width=0), "images[0] with id 30: an image of 0 x 64 pixels; write the size that the file"),
        (change("images", 0, height=None), "images[0] with id 30: None must be a whole number"),
        (change("images", 0, file_name=3), "images[0] with id 30: file_name must be a path, not 3"),
        (change("images", 1, file_name="no.png"), "1 of 3 images of"),
        (without("annotations", 0, "bbox"), "annotations[0] with id 1 has no 'bbox'; add it"),
        (without("images", 0, "id"), "images[0] has no 'id'; add it"),
        (lambda content: content.update(categories=[]), "'categories' is empty, so there is nothing to learn"),
        (lambda content: content.update(images=[], annotations=[]), "'images' is empty, so there is nothing to"),
        (lambda content: content.pop("categories"), "'categories' must be a list"),
        (lambda content: content["images"].append(7), "images[3]: 7 must be an object"),
    ],
)
def test_a_wrong_record_is_named(tmp_path: Path, breaks: Callable[[dict[str, Any]], None], message: str) -> None:
    file = make_coco(tmp_path / "instances_val.json", tmp_path / "val")
    content = coco_content()
    breaks(content)
    file.write_text(json.dumps(content))
    with pytest.raises(UserError) as caught:
        coco(tmp_path, "val")
    assert message in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"images": [', "not readable as JSON"),
        ("\xff\xfe", "not readable as JSON"),
        ("[" * 200_000, "not readable as JSON"),
        ("[]", "COCO annotations are an object with 'images', 'annotations' and 'categories'"),
    ],
)
def test_a_file_that_is_no_json(tmp_path: Path, text: str, message: str) -> None:
    file = make_coco(tmp_path / "instances_val.json", tmp_path / "val")
    file.write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=message):
        coco(tmp_path, "val")


def test_what_is_missing_is_said_with_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        coco(tmp_path, "val")
    for name in (
        "annotations/instances_val.json",
        "instances_val.json",
        "val/_annotations.coco.json",
        "FILE.json@FOLDER",
    ):
        assert name in str(caught.value)
    with pytest.raises(UserError, match=r"mine\.json: no such file"):
        coco(tmp_path, "mine.json@val")
    make_coco(tmp_path / "instances_val.json", tmp_path / "other")
    with pytest.raises(UserError, match="COCO images of 'val' not found; looked for"):
        coco(tmp_path, "val")
    with pytest.raises(UserError, match=r"3 of 3 images of .* are not in .*, the first: 030\.png"):
        coco(tmp_path, "instances_val.json@nowhere")


def test_an_image_of_another_size_than_annotated_is_refused(tmp_path: Path) -> None:
    make_coco(tmp_path / "instances_val.json", tmp_path / "val")
    write(picture(0, (60, 128)), tmp_path / "val/020.png")
    files = coco(tmp_path, "val")
    with pytest.raises(UserError, match=r"020\.png is 128 x 60 pixels, but its annotations say 128 x 64"):
        files.image(1)


def test_splits_are_joined(tmp_path: Path) -> None:
    make_coco(tmp_path / "instances_a.json", tmp_path / "a")
    content = coco_content()
    content["annotations"] = []
    for image in content["images"]:
        image["id"] += 5
    make_coco(tmp_path / "instances_b.json", tmp_path / "b", content)
    a, b = coco(tmp_path, "a"), coco(tmp_path, "b")
    assert [item.number for item in a.join([b]).items] == [10, 15, 20, 25, 30, 35]
    # Both number their images alike, so that all get new numbers, in order.
    twice = a.join([a])
    assert [item.number for item in twice.items] == [1, 2, 3, 4, 5, 6]
    assert [item.stem for item in twice.items] == ["010", "020", "030"] * 2
    content["categories"][0]["name"] = "dog"
    make_coco(tmp_path / "instances_b.json", tmp_path / "b", content)
    with pytest.raises(UserError, match=r"different classes \(car, person; car, dog\)"):
        a.join([coco(tmp_path, "b")])


@pytest.mark.parametrize("name", ["things", "car"])
def test_the_group_category_of_roboflow_is_no_class(tmp_path: Path, name: str) -> None:
    content = coco_content()
    for category in content["categories"]:
        category["supercategory"] = name
    content["categories"].insert(0, {"id": 0, "name": name, "supercategory": "none"})
    make_coco(tmp_path / "valid/_annotations.coco.json", tmp_path / "valid", content)
    files = coco(tmp_path, "valid")
    assert files.classes.names == ("car", "person")
    assert files.categories == (3, 7)
    with pytest.raises(UserError, match="COCO split 'val' not found; there is valid"):
        coco(tmp_path, "val")


def test_a_group_is_no_class_where_there_are_no_annotations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = coco_content()
    for category in content["categories"]:
        category["supercategory"] = "things"
    content["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
    del content["annotations"]
    make_coco(tmp_path / "test/_annotations.coco.json", tmp_path / "test", content)
    assert coco(tmp_path, "test").classes.names == ("car", "person")
    monkeypatch.setitem(coco.__globals__, "flat_coco", lambda *_: None)
    assert coco(tmp_path, "test").classes.names == ("car", "person")


def test_a_group_that_boxes_have_is_a_class(tmp_path: Path) -> None:
    content = coco_content()
    for category in content["categories"]:
        category["supercategory"] = "things"
    content["categories"].insert(0, {"id": 0, "name": "things", "supercategory": "none"})
    content["annotations"][0]["category_id"] = 0
    make_coco(tmp_path / "valid/_annotations.coco.json", tmp_path / "valid", content)
    assert coco(tmp_path, "valid").classes.names == ("things", "car", "person")


@pytest.mark.parametrize("name", ["../../{}", "{}", "..\\..\\{}", "a/../../../{}"])
def test_a_name_leads_nowhere_else(tmp_path: Path, name: str) -> None:
    content = coco_content()
    make_coco(tmp_path / "set/instances_val.json", tmp_path / "set/val", content)
    outside = tmp_path / "outside.png"
    (tmp_path / "set/val/030.png").rename(outside)
    (tmp_path / "set/val/a").mkdir()
    content["images"][0]["file_name"] = name.format(outside if name == "{}" else outside.name)
    (tmp_path / "set/instances_val.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"with id 30: file_name '.*outside\.png' leads out of the data's folder"):
        coco(tmp_path / "set", "val")


def test_a_folder_of_the_recipe_is_the_persons_word(tmp_path: Path) -> None:
    content = coco_content()
    make_coco(tmp_path / "set/instances_val.json", tmp_path / "pictures/val", content)
    for image in content["images"]:
        image["file_name"] = str(tmp_path / "pictures/val" / image["file_name"])
    (tmp_path / "set/instances_val.json").write_text(json.dumps(content))
    assert len(coco(tmp_path / "set", "instances_val.json@../pictures")) == 3


def test_a_name_may_lead_to_another_folder_of_the_data(tmp_path: Path) -> None:
    content = coco_content()
    make_coco(tmp_path / "instances_val.json", tmp_path / "val", content)
    (tmp_path / "pictures").mkdir()
    (tmp_path / "val/030.png").rename(tmp_path / "pictures/030.png")
    content["images"][0]["file_name"] = "../pictures/030.png"
    (tmp_path / "instances_val.json").write_text(json.dumps(content))
    assert len(coco(tmp_path, "val")) == 3


def as_text(files: DetectionFiles) -> list[str]:
    """Everything that is known of each image."""
    found = []
    for item in files.items:
        arrays = [(column.dtype.str, column.tolist()) for column in item.truth]
        found.append(repr((item[:4], arrays)))
    return found


def test_flat_arrays_hold_what_is_read_record_by_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_coco(tmp_path / "instances_val.json", tmp_path / "val")
    first = coco(tmp_path, "val")
    (kept,) = Path(os.environ["XDG_CACHE_HOME"]).glob("densekd/coco/*.safetensors")
    again = coco(tmp_path, "val")
    texts = [as_text(first), as_text(again)]
    # A damaged file is made anew. Written in place, as nobody does who is not testing, it changes what is mapped.
    kept.write_bytes(kept.read_bytes()[:-1] + b"~")
    mended = coco(tmp_path, "val")
    for files in (first, again, mended):
        assert isinstance(files.items, FlatItems)
        assert files.items[-1].number == 30
        assert [item.stem for item in files.items[1:]] == ["020", "030"]
    monkeypatch.setitem(coco.__globals__, "flat_coco", lambda *_: None)
    slow = coco(tmp_path, "val")
    assert isinstance(slow.items, tuple)
    assert [*texts, as_text(mended)] == [as_text(slow)] * 3
    assert (first.classes, first.categories, first.notes) == (slow.classes, slow.categories, slow.notes)


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "instances_val.json"
    make_coco(path, tmp_path / "val")
    assert len(coco(tmp_path, "val").items[0].truth.boxes) == 3
    content = coco_content()
    content["annotations"] = content["annotations"][:1]
    path.write_text(json.dumps(content))
    assert sum(len(item.truth.boxes) for item in coco(tmp_path, "val").items) == 1
