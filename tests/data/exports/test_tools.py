"""Every tool's export of the same shapes becomes the same labels and boxes."""

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotation_exports import (
    HEIGHT,
    NAMES,
    WIDTH,
    box_value,
    car,
    coco_content,
    labelme_content,
    make_cvat_coco,
    make_label_studio,
    make_labelme,
    make_roboflow_coco,
    make_supervisely,
    make_yolo_polygons,
    mask_of,
    percent,
    picture,
    png,
    region,
    save_picture,
    task_of,
    tree,
    truth,
    write,
    write_polygons,
)

from densekd.data import DATASETS
from densekd.data.detection import DetectionFiles
from densekd.data.files import SegmentationFiles
from densekd.data.holdout import Holdout
from densekd.errors import RecipeError, UserError

ALL = "all"
ANN = "project/ds0/ann/0.png.json"
INSTANCES = "annotations/instances_default.json"


def masks(name: str, root: Path, split: str = ALL, **options: Any) -> SegmentationFiles:
    files = DATASETS[name](root, split, **options)
    assert isinstance(files, SegmentationFiles)
    return files


def boxes(name: str, root: Path, split: str = ALL) -> DetectionFiles:
    files = DATASETS[name](root, split)
    assert isinstance(files, DetectionFiles)
    return files


@pytest.mark.parametrize(
    ("name", "split", "make", "order"),
    [
        ("labelme", ALL, make_labelme, NAMES),
        ("labelstudio", ALL, make_label_studio, NAMES),
        ("labelstudio", ALL, lambda root: make_label_studio(root, brush=True), NAMES),
        ("supervisely", ALL, make_supervisely, NAMES),
        ("supervisely", ALL, lambda root: make_supervisely(root, bitmaps=True), NAMES),
        ("supervisely", "train", lambda root: make_supervisely(root, dataset="train"), NAMES),
        ("coco-masks", ALL, make_cvat_coco, NAMES),
        ("coco-masks", "default", make_cvat_coco, NAMES),
        ("coco-masks", ALL, lambda root: make_cvat_coco(root, runs=True), NAMES),
        ("coco-masks", "train", make_roboflow_coco, NAMES),
        # The smaller shape is on top, as Ultralytics draws them.
        ("yolo-masks", "train", make_yolo_polygons, NAMES[::-1]),
    ],
)  # fmt: skip
def test_masks(name: str, split: str, make: Callable[[Path], Path], order: tuple[str, ...], tmp_path: Path) -> None:
    root = make(tmp_path / "data")
    files = masks(name, root, split)
    assert files.classes.names == ("background", *NAMES)
    assert len(files) == 2
    for k in range(2):
        image, label = files.pair(k)
        np.testing.assert_array_equal(image, picture(k))
        np.testing.assert_array_equal(label, truth(k, order))
    # What pixels outside are was chosen for people, and is said.
    assert "labels: pixels that no annotation covers are 'background'; data.options: {unlabelled: void}" in "".join(
        files.notes
    )
    chosen = masks(name, root, split, unlabelled="void")
    assert chosen.classes.names == NAMES
    expected = truth(0, order).astype(int) - 1
    np.testing.assert_array_equal(chosen.label(0), np.where(expected < 0, 255, expected))
    assert "background" not in "".join(chosen.notes)
    # A class that is not wanted, and one that is another.
    merged = masks(name, root, split, unlabelled="background", ignore=("car",), map={"tree": "plant"})
    assert merged.classes.names == ("background", "plant")
    np.testing.assert_array_equal(merged.label(1), np.array([0, 255, 1])[truth(1, order)])
    with pytest.raises(RecipeError, match="'cat' is no class"):
        masks(name, root, split, ignore=("cat",))


@pytest.mark.parametrize(
    ("name", "split", "make"),
    [
        ("labelme-boxes", ALL, make_labelme),
        ("labelstudio-boxes", ALL, make_label_studio),
        ("labelstudio-boxes", ALL, lambda root: make_label_studio(root, brush=True)),
        ("supervisely-boxes", ALL, make_supervisely),
        ("supervisely-boxes", ALL, lambda root: make_supervisely(root, bitmaps=True)),
        ("coco", ALL, make_cvat_coco),
        ("coco", "train", make_roboflow_coco),
        ("yolo", "train", make_yolo_polygons),
    ],
)
def test_boxes(name: str, split: str, make: Callable[[Path], Path], tmp_path: Path) -> None:
    files = boxes(name, make(tmp_path / "data"), split)
    assert files.classes.names == NAMES
    for k, item in enumerate(files.items):
        assert item.size == (HEIGHT, WIDTH)
        np.testing.assert_allclose(item.truth.boxes, [[6 + k, 4, 20 + k, 14], [16 + k, 10, 40 + k, 26]], atol=1e-4)
        np.testing.assert_array_equal(item.truth.labels, [0, 1])
        np.testing.assert_allclose(item.truth.area, [mask_of(k, one).sum() for one in NAMES], atol=1e-4)
        np.testing.assert_array_equal(files.image(k), picture(k))


def holdout() -> Holdout:
    return Holdout(val=0.25)


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("labelme", make_labelme),
        ("labelme-boxes", make_labelme),
        ("labelstudio", make_label_studio),
        ("supervisely", make_supervisely),
        ("coco", make_cvat_coco),
        ("coco-masks", make_cvat_coco),
    ],
)
def test_images_without_splits_are_divided_once(name: str, make: Any, tmp_path: Path) -> None:
    root = make(tmp_path, 8)
    with pytest.raises(UserError, match=r"data\.split: \{val: 0\.2, seed: 0\}"):
        DATASETS[name](root, "train")
    train, val = DATASETS[name](root, "train", holdout=holdout()), DATASETS[name](root, "val", holdout=holdout())
    assert (len(train), len(val)) == (6, 2)
    # The lists alone say it, and both splits have all classes in one order.
    assert DATASETS[name](root, "val").items[0].stem == val.items[0].stem
    assert train.classes == val.classes
    assert (root / "splits" / "val.txt").is_file()


def test_label_studio_in_yolo_is_divided(tmp_path: Path) -> None:
    (tmp_path / "classes.txt").write_text("car\ntree\n")
    for k in range(8):
        save_picture(k, tmp_path / "images" / f"{k}.png")
        write_polygons(tmp_path / "labels" / f"{k}.txt", k)
    for name in ("yolo", "yolo-masks"):
        assert len(DATASETS[name](tmp_path, "val", holdout=holdout())) == 2
    label = masks("yolo-masks", tmp_path).label(3)
    np.testing.assert_array_equal(label, truth(3, NAMES[::-1]))


def test_label_studio_in_coco_is_found(tmp_path: Path) -> None:
    # Written on Windows, beside its images.
    write(tmp_path / "result.json", coco_content(name="images\\{}.png"))
    for k in range(2):
        save_picture(k, tmp_path / "images" / f"{k}.png")
    np.testing.assert_array_equal(masks("coco-masks", tmp_path).label(1), truth(1))


def test_splits_that_are_there_are_not_drawn_anew(tmp_path: Path) -> None:
    make_labelme(tmp_path, folder="train")
    make_labelme(tmp_path, folder="val")
    assert [item.stem for item in masks("labelme", tmp_path, "val").items] == ["val/0", "val/1"]
    with pytest.raises(RecipeError, match="has splits already, train, val"):
        masks("labelme", tmp_path, "val", holdout=holdout())
    with pytest.raises(UserError, match="no split 'test'; there is train, val"):
        masks("labelme", tmp_path, "test")


def test_an_own_background_is_used(tmp_path: Path) -> None:
    content = labelme_content(0, "0.png")
    content["shapes"].append({"label": "_background_", "points": [[0, 0], [1, 0], [1, 1]], "shape_type": "polygon"})
    save_picture(0, tmp_path / "0.png")
    write(tmp_path / "0.json", content)
    (tmp_path / "labels.txt").write_text("__ignore__\n_background_\ntree\ncar\n")
    files = masks("labelme", tmp_path)
    assert files.classes.names == ("_background_", "tree", "car")
    np.testing.assert_array_equal(files.label(0), np.array([0, 2, 1])[truth(0)])
    assert "are '_background_'" in files.notes[-1]
    # With void, what was drawn as background still is.
    void = masks("labelme", tmp_path, unlabelled="void").label(0)
    assert void[20, 1] == 255


def test_labelme_kinds(tmp_path: Path) -> None:
    content = labelme_content(0, "elsewhere/0.png")
    mask = base64.b64encode(png(np.ones((3, 4), bool))).decode()
    content["shapes"] = [
        {"label": "car", "points": [[10, 10], [14, 13]], "shape_type": "circle"},
        {"label": "tree", "points": [[30, 20], [33, 22]], "shape_type": "mask", "mask": mask},
        {"label": "__ignore__", "points": [[0, 0], [2, 0], [2, 2], [0, 2]]},
        {"label": "car", "points": [[1, 1], [5, 5]], "shape_type": "line"},
    ]
    content["imageHeight"] = content["imageWidth"] = None
    save_picture(0, tmp_path / "0.png")
    write(tmp_path / "0.json", content)
    files = masks("labelme", tmp_path)
    label = files.label(0)
    # The center, and a point of the circle: a radius of 5.
    assert [label[10, 10], label[10, 14], label[10, 15], label[5, 10], label[4, 10]] == [1, 1, 0, 1, 0]
    np.testing.assert_array_equal(np.argwhere(label == 2)[[0, -1]], [[20, 30], [22, 33]])
    assert (label == 255).sum() == 4
    assert "1 points and lines have no area" in "".join(files.notes)
    found = boxes("labelme-boxes", tmp_path).items[0].truth
    np.testing.assert_allclose(found.boxes[1], [30, 20, 34, 23])
    np.testing.assert_array_equal(found.labels, [0, 1])


def test_labelme_holds_its_image(tmp_path: Path) -> None:
    path = save_picture(0, tmp_path / "elsewhere" / "0.png")
    content = labelme_content(0, "0.png")
    content["imageData"] = base64.b64encode(path.read_bytes()).decode()
    write(tmp_path / "data" / "0.json", content)
    np.testing.assert_array_equal(masks("labelme", tmp_path / "data").image(0), picture(0))


def test_images_without_annotations_are_left_out_and_said(tmp_path: Path) -> None:
    save_picture(7, make_labelme(tmp_path / "a") / "7.png")
    files = masks("labelme", tmp_path / "a")
    assert len(files) == 2
    assert re.search("1 images have no JSON file and are left out, the first: .*7.png", "".join(files.notes))
    save_picture(7, make_supervisely(tmp_path / "b") / "project" / "ds0" / "img" / "7.png")
    assert "1 images have no file in ann" in "".join(masks("supervisely", tmp_path / "b").notes)
    root = make_label_studio(tmp_path / "c", 3)
    tasks = json.loads((root / "project-1-at-2026.json").read_text())
    tasks[0]["annotations"][0]["was_cancelled"] = True
    tasks[1]["annotations"][0]["result"] = []
    write(root / "project-1-at-2026.json", tasks)
    files = masks("labelstudio", root)
    assert "1 images have no annotation" in "".join(files.notes)
    # An annotation without a region is an image with nothing in it.
    assert not files.label(0).any()
    assert len(files) == 2


def test_label_studio_regions(tmp_path: Path) -> None:
    turned = {**box_value([[10, 10], [20, 10], [20, 14], [10, 14]]), "rotation": 90}
    ellipse = {"x": 100 * 30 / WIDTH, "y": 100 * 16 / HEIGHT, "radiusX": 100 * 6 / WIDTH, "radiusY": 100 * 3 / HEIGHT}
    shape = {"points": percent(car(0)), "closed": True}
    common = {"original_width": WIDTH, "original_height": HEIGHT}
    results = [
        region("rectangle", "car", turned, "a"),
        region("ellipse", "tree", ellipse, "b"),
        # A region whose label is a result of its own.
        {"id": "c", "type": "polygon", "value": shape, **common},
        {"id": "c", "type": "labels", "value": {**shape, "labels": ["tree"]}, **common},
        region("keypoint", "car", {"x": 1, "y": 1, "width": 0.3}, "d"),
        {"id": "e", "type": "polygon", "value": shape, **common},
        {"id": "f", "type": "choices", "value": {"choices": ["good"]}},
    ]
    save_picture(0, tmp_path / "0.png")
    write(tmp_path / "x.json", [task_of(0, results)])
    files = boxes("labelstudio-boxes", tmp_path)
    expected = [[6, 10, 10, 20], [24, 13, 36, 19], [6, 4, 20, 14]]
    np.testing.assert_allclose(files.items[0].truth.boxes, expected, atol=1e-4)
    np.testing.assert_array_equal(files.items[0].truth.labels, [0, 1, 1])
    assert "1 key points and lines" in "".join(files.notes)
    assert "1 regions have no label" in "".join(files.notes)


def test_the_ground_truth_counts(tmp_path: Path) -> None:
    task = task_of(0, [region("rectangle", "car", box_value(car(0)), "a")])
    other = {"result": [region("rectangle", "tree", box_value(tree(0)), "a")], "ground_truth": False}
    task["annotations"] = [{**task["annotations"][0], "ground_truth": True}, other]
    save_picture(0, tmp_path / "0.png")
    write(tmp_path / "x.json", [task])
    files = masks("labelstudio", tmp_path)
    assert files.classes.names == ("background", "car")
    assert "1 images have several annotations" in "".join(files.notes)


def test_holes_and_colors_of_supervisely(tmp_path: Path) -> None:
    root = make_supervisely(tmp_path)
    path = root / "project/ds0/ann/0.png.json"
    content = json.loads(path.read_text())
    content["objects"][0] = {
        "classTitle": "car", "geometryType": "polygon",
        "points": {"exterior": car(0), "interior": [[[8, 6], [12, 6], [12, 9], [8, 9]]]},
    }  # fmt: skip
    write(path, content)
    files = masks("supervisely", root)
    expected = truth(0)
    expected[6:9, 8:12] = 0
    np.testing.assert_array_equal(files.label(0), expected)
    assert files.classes.palette == ((0, 0, 0), (255, 0, 0), (0, 255, 0))


def test_tags_of_supervisely_are_splits(tmp_path: Path) -> None:
    root = make_supervisely(tmp_path, 3)
    for k, tag in enumerate(("train", "train", "val")):
        path = root / f"project/ds0/ann/{k}.png.json"
        write(path, {**json.loads(path.read_text()), "tags": [{"name": tag, "value": None}]})
    assert len(masks("supervisely", root, "train")) == 2
    assert len(masks("supervisely", root, "val")) == 1


def test_boxes_among_polygons_are_said_and_alone_refused(tmp_path: Path) -> None:
    root = make_yolo_polygons(tmp_path / "yolo")
    (root / "train/labels/0.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    files = masks("yolo-masks", root, "train")
    assert "1 of 3 annotations are boxes and are drawn as such" in "".join(files.notes)
    assert (files.label(0) == 1).sum() == 12 * 16
    (root / "train/labels/1.txt").write_text("0 0.5 0.5 0.25 0.5\n")
    with pytest.raises(UserError, match=r"all 2 annotations of 'train' are boxes.*data\.dataset: yolo;"):
        masks("yolo-masks", root, "train")
    coco_root = make_cvat_coco(tmp_path / "coco")
    content = coco_content()
    # Nothing, no polygon, and remains of two points: an object is never lost without a word.
    drawn = []
    for nothing in ([], None, [[]], [[1, 1, 5, 5]]):
        content["annotations"][0]["segmentation"] = nothing
        write(coco_root / "annotations/instances_default.json", content)
        found = masks("coco-masks", coco_root)
        assert "1 of 4 annotations have no mask and are drawn as their boxes" in "".join(found.notes)
        drawn.append([found.label(k).tolist() for k in range(len(found))])
    assert drawn[1:] == drawn[:1] * 3
    for annotation in content["annotations"]:
        annotation["segmentation"] = []
    write(coco_root / "annotations/instances_default.json", content)
    with pytest.raises(UserError, match=r"no annotation has a mask.*data\.dataset: coco;"):
        masks("coco-masks", coco_root)


def edit(path: Path, change: Callable[[Any], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    write(path, content)


@pytest.mark.parametrize(
    ("name", "make", "file", "change", "message"),
    [
        ("labelme", make_labelme, "0.json", lambda c: c["shapes"][1].update(points=[[1, 2]]),
         r"0\.json: shapes\[1\]: a polygon must have three points.*Correct it in LabelMe"),
        ("labelme", make_labelme, "0.json", lambda c: c["shapes"][1].update(shape_type="spline"),
         r"shapes\[1\]: shape_type 'spline' is unknown; known are polygon"),
        ("labelme", make_labelme, "0.json", lambda c: c.update(shapes=[]) or c.pop("shapes"), None),
        ("supervisely", make_supervisely, ANN, lambda c: c["objects"][0].update(classTitle="cart"),
         r"objects\[0\]: the class 'cart' is not in meta\.json\. Did you mean 'car'\?"),
        ("supervisely", make_supervisely, ANN, lambda c: c["objects"][0].update(geometryType="cuboid"),
         r"objects\[0\]: geometryType 'cuboid' is unknown"),
        ("supervisely", make_supervisely, "project/meta.json", lambda c: c.pop("classes"),
         "expected 'classes' with 'title'"),
        ("labelstudio", make_label_studio, "project-1-at-2026.json", lambda c: c[1].update(data={}),
         r"task 2: 'data' names no image"),
        ("labelstudio", make_label_studio, "project-1-at-2026.json", lambda c: [one.pop("annotations") for one in c],
         "JSON-MIN"),
        ("coco-masks", make_cvat_coco, INSTANCES,
         lambda c: c["annotations"][0].update(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), "has 7 numbers"),
        ("coco-masks", make_cvat_coco, INSTANCES,
         lambda c: c["annotations"][0].update(category_id=9), "category_id 9 is the id of no category"),
        ("coco-masks", make_cvat_coco, INSTANCES,
         lambda c: c["annotations"][0].update(segmentation={"size": [3, 4], "counts": [5]}),
         "do not fill 4 x 3 pixels"),
    ],
)  # fmt: skip
def test_what_is_malformed_is_said_with_its_place(
    name: str, make: Callable[[Path], Path], file: str, change: Any, message: str | None, tmp_path: Path
) -> None:
    edit(make(tmp_path) / file, change)
    if message is None:
        # A JSON file of something else is none of LabelMe's.
        assert len(masks(name, tmp_path)) == 1
        return
    with pytest.raises(UserError, match=message):
        masks(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "make", "image"),
    [
        ("labelme", make_labelme, "0.png"),
        ("labelstudio", make_label_studio, "pictures/0.png"),
        ("supervisely", make_supervisely, "project/ds0/img/0.png"),
    ],
)
def test_a_missing_image_is_one_message(name: str, make: Callable[[Path], Path], image: str, tmp_path: Path) -> None:
    (make(tmp_path) / image).unlink()
    with pytest.raises(UserError, match=r"1 of 2 images of .* are not below .*, the first: .*0\.png\. Put the images"):
        masks(name, tmp_path)


def test_a_picture_of_another_size_is_refused(tmp_path: Path) -> None:
    root = make_supervisely(tmp_path)
    edit(root / "project/ds0/ann/0.png.json", lambda c: c["size"].update(height=31))
    with pytest.raises(UserError, match=r"48 x 32 pixels, but its label .* is 48 x 31"):
        masks("supervisely", root).pair(0)


def make_voc_xml(root: Path) -> Path:
    (root / "Annotations").mkdir(parents=True)
    (root / "Annotations" / "a.xml").write_text("<annotation/>")
    return root


@pytest.mark.parametrize(
    ("make", "advice"),
    [
        (make_labelme, "LabelMe: write data.dataset: labelme for masks, labelme-boxes for boxes"),
        (make_label_studio, "Label Studio: write data.dataset: labelstudio for masks"),
        (make_supervisely, "Supervisely: write data.dataset: supervisely for masks"),
        (make_cvat_coco, "COCO's JSON: write data.dataset: coco-masks for masks, coco for boxes"),
        (make_roboflow_coco, "COCO's JSON: write data.dataset: coco-masks"),
        (make_yolo_polygons, "YOLO's text files: write data.dataset: yolo-masks"),
        (lambda root: save_picture(0, root / "task-1-annotation-2-by-1-tag-car-0.png").parent, "export as JSON"),
        (lambda root: save_picture(0, root / "SegmentationClass" / "0.png").parents[1], "export with 'Save images'"),
        (make_voc_xml, "write data.dataset: voc-boxes"),
    ],
)
def test_the_folder_layout_names_the_dataset_that_reads_an_export(
    make: Callable[[Path], Path], advice: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=re.escape(advice)):
        DATASETS["folder"](make(tmp_path), "train")
