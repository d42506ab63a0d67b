"""``evaluate`` and ``predict`` on data folders in official layouts, and on recipes by name."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from annotation_exports import (
    make_cvat_coco,
    make_label_studio,
    make_labelme,
    make_roboflow_coco,
    make_supervisely,
    make_yolo_polygons,
)
from dataset_trees import blocks, make_ade20k, make_cityscapes, make_coco, make_cocostuff, make_voc, picture, write
from PIL import Image
from published_layouts import fabricate, read_layout
from tiny_data import make_folder
from typer.testing import CliRunner

from densekd.cli.app import app
from densekd.data.camvid import CLASSES as CAMVID
from densekd.data.classes import Classes, published_classes
from densekd.models import MODELS
from densekd.models.package import config_of, save_package

OPTIONS = {"backbone": "resnet18_025"}


def student(folder: Path, classes: Classes) -> Path:
    """Write an untrained package of these classes."""
    model = MODELS["fpn"](len(classes.names), **OPTIONS)
    save_package(model, config_of("fpn", OPTIONS, classes, "segmentation"), folder)
    return folder


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner(env={"COLUMNS": "300"}).invoke(app, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit) or result.exit_code
    return result.exit_code, result.output + str(result.exception or "")


def scores(model: Path, out: Path, *arguments: object) -> dict[str, Any]:
    status, printed = run("evaluate", model, *arguments, "--json", out)
    assert status == 0, printed
    content: dict[str, Any] = json.loads(out.read_text())
    return content


@pytest.mark.parametrize(
    ("name", "make", "images"),
    [("cityscapes", make_cityscapes, 2), ("ade20k", make_ade20k, 2), ("voc", make_voc, 1),
     ("cocostuff", make_cocostuff, 2)],
)  # fmt: skip
def test_evaluate_recognizes_layouts(name: str, make: Any, images: int, tmp_path: Path) -> None:
    model = student(tmp_path / "student", published_classes(name))
    data = make(tmp_path / "data")
    found = scores(model, tmp_path / "s.json", "--data", data)
    assert (found["split"], found["images"]) == ("val", images)
    train = scores(model, tmp_path / "s.json", "--data", data, "--split", "train")
    assert train["split"] == "train"


@pytest.mark.parametrize(("images", "labels"), [("images/val", "labels/val"), ("val", "valannot")])
def test_evaluate_recognizes_camvid_whose_eleven_is_void(images: str, labels: str, tmp_path: Path) -> None:
    write(picture(1), tmp_path / "data" / images / "a.png")
    write(blocks(1, (11, 0, 3)), tmp_path / "data" / labels / "a.png")
    found = scores(student(tmp_path / "student", CAMVID), tmp_path / "s.json", "--data", tmp_path / "data")
    assert found["images"] == 1


def test_evaluate_recognizes_coco(tmp_path: Path) -> None:
    make_coco(tmp_path / "data" / "annotations" / "instances_val2017.json", tmp_path / "data" / "val2017")
    classes = Classes(("car", "person"), ((1, 2, 3), (4, 5, 6)))
    options = {"backbone": "resnet18_025", "channels": 16, "depth": 1}
    save_package(MODELS["gfl"](2, **options), config_of("gfl", options, classes, "detection"), tmp_path / "student")
    found = scores(tmp_path / "student", tmp_path / "s.json", "--data", tmp_path / "data")
    assert (found["split"], found["images"]) == ("val2017", 3)


def test_evaluate_says_what_was_looked_for(tmp_path: Path) -> None:
    model = student(tmp_path / "student", published_classes("cityscapes"))
    (tmp_path / "empty").mkdir()
    status, printed = run("evaluate", model, "--data", tmp_path / "empty")
    assert status != 0
    assert "no known layout of data; looked for" in printed
    assert "cityscapes: leftImg8bit + gtFine" in printed
    # Layouts of boxes cannot be meant.
    assert "voc-boxes" not in printed
    assert " coco:" not in printed
    status, printed = run("evaluate", model, "--data", tmp_path / "no" / "such")
    assert status != 0
    assert "such: no such data folder. " in printed


def test_the_models_classes_decide_between_layouts(tmp_path: Path) -> None:
    data = make_cityscapes(tmp_path / "data")
    make_folder(data, {"val": 3})
    names = json.loads((data / "classes.json").read_text())["names"]
    plain = student(tmp_path / "plain", Classes(tuple(names), ((0, 0, 0), (1, 1, 1), (2, 2, 2))))
    streets = student(tmp_path / "streets", published_classes("cityscapes"))
    assert scores(plain, tmp_path / "s.json", "--data", data)["images"] == 3
    assert scores(streets, tmp_path / "s.json", "--data", data)["images"] == 2
    other = student(tmp_path / "other", published_classes("voc"))
    status, printed = run("evaluate", other, "--data", data)
    assert status != 0
    assert "looked for" in printed or "may be" in printed


def test_evaluate_by_the_name_of_a_shipped_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = student(tmp_path / "student", published_classes("cityscapes"))
    make_cityscapes(tmp_path / "data" / "cityscapes")
    monkeypatch.chdir(tmp_path)
    for option in ("--data", "--recipe"):
        found = scores(model, tmp_path / "s.json", option, "cityscapes/hwd-r18")
        assert (found["split"], found["images"]) == ("val", 2)
    # A folder beside a recipe is where its data lies.
    (tmp_path / "data").rename(tmp_path / "moved")
    elsewhere = ("--recipe", "cityscapes/hwd-r18", "--data", tmp_path / "moved" / "cityscapes")
    assert scores(model, tmp_path / "s.json", *elsewhere)["images"] == 2
    status, printed = run("evaluate", model, "--recipe", "cityscapes/hwd-r19")
    assert status != 0
    assert "Did you mean 'cityscapes/hwd-r18'" in printed


def test_a_file_of_another_project_is_scored_at_the_recipes_size(tmp_path: Path) -> None:
    data = make_cityscapes(tmp_path / "data")
    name = "pspnet_r18-d8_512x1024_80k_cityscapes.pth"
    model = fabricate(read_layout(name), tmp_path / name)
    content = {
        "name": "small",
        "data": {"dataset": "cityscapes", "root": str(data), "short_side": 32},
        "student": {"model": "fpn", "options": OPTIONS},
        "training": {"steps": 1},
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(content))
    found = scores(model, tmp_path / "s.json", "--recipe", tmp_path / "r.yaml")
    assert found["images"] == 2
    # Half the size is another prediction than the whole size of the folder alone.
    whole = scores(model, tmp_path / "s.json", "--data", data)
    assert whole["images"] == 2
    assert whole["iou"] != found["iou"]


def test_a_recipe_says_how_it_is_evaluated(tmp_path: Path) -> None:
    data = make_cityscapes(tmp_path / "data")
    model = student(tmp_path / "student", published_classes("cityscapes"))
    content = {
        "name": "windows",
        "data": {"dataset": "cityscapes", "root": str(data)},
        "student": {"model": "fpn", "options": OPTIONS},
        "evaluation": {"no_such_option": 1},
        "training": {"steps": 1},
    }
    (tmp_path / "r.yaml").write_text(yaml.safe_dump(content))
    for command in (("evaluate", model), ("predict", model, data)):
        status, printed = run(*command, "--recipe", tmp_path / "r.yaml")
        assert status != 0
        assert "no_such_option" in printed


def test_predict_takes_the_images_of_a_split_alone(tmp_path: Path) -> None:
    data = make_cityscapes(tmp_path / "data")
    model = student(tmp_path / "student", published_classes("cityscapes"))
    status, printed = run("predict", model, data, "--out", tmp_path / "out")
    assert status == 0, printed
    found = sorted(
        path.relative_to(tmp_path / "out" / "labels").as_posix() for path in (tmp_path / "out").rglob("labels/**/*.png")
    )
    assert found == [f"frankfurt/frankfurt_{k:06}_000019_leftImg8bit.png" for k in range(2)]
    # A split without labels is predicted as well.
    write(picture(3), data / "leftImg8bit" / "test" / "berlin" / "berlin_000000_000019_leftImg8bit.png")
    status, printed = run("predict", model, data, "--split", "test", "--out", tmp_path / "test")
    assert status == 0, printed
    assert printed.strip().startswith("1 images")


def test_predict_takes_the_listed_images_alone(tmp_path: Path) -> None:
    data = make_voc(tmp_path / "data")
    model = student(tmp_path / "student", published_classes("voc"))
    status, printed = run("predict", model, data, "--out", tmp_path / "out")
    assert status == 0, printed
    labels = sorted((tmp_path / "out" / "labels").glob("*.png"))
    assert [path.stem for path in labels] == ["2007_000033"]
    assert np.array(Image.open(labels[0])).shape == (64, 128)


def test_predict_the_data_of_a_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = student(tmp_path / "student", published_classes("cityscapes"))
    make_cityscapes(tmp_path / "data" / "cityscapes")
    monkeypatch.chdir(tmp_path)
    for arguments in (
        ("cityscapes/hwd-r18",),
        ("--recipe", "cityscapes/hwd-r18"),
        ("flip=none", "--recipe", "cityscapes/hwd-r18"),
    ):
        status, printed = run("predict", model, *arguments, "--out", tmp_path / "out")
        assert status == 0, printed
        assert printed.strip().startswith("2 images")
    status, printed = run("predict", model)
    assert status != 0
    assert "say what to predict" in printed
    status, printed = run("predict", model, "missing.png")
    assert status != 0
    assert "missing.png: no such image" in printed


SHAPES = Classes(("background", "car", "tree"), ((0, 0, 0), (1, 2, 3), (4, 5, 6)))


@pytest.mark.parametrize(
    ("make", "split", "images"),
    [
        (make_labelme, "all", 2),
        (make_label_studio, "all", 2),
        (make_supervisely, "all", 2),
        (make_cvat_coco, "all", 2),
        (make_roboflow_coco, "valid", 2),
        (make_yolo_polygons, "val", 2),
        (lambda root: make_supervisely(make_supervisely(root, dataset="train"), 1, dataset="val"), "val", 1),
    ],
)
def test_evaluate_recognizes_exports(make: Any, split: str, images: int, tmp_path: Path) -> None:
    data = make(tmp_path / "data")
    found = scores(student(tmp_path / "student", SHAPES), tmp_path / "s.json", "--data", data)
    assert (found["split"], found["images"]) == (split, images)


@pytest.mark.parametrize(
    ("image", "label", "classes"),
    [
        ("images/{}.png", "labels/{}.png", True),
        ("images/{}.png", "masks/{}.png", True),
        ("{}.png", "{}_mask.png", True),
        ("images/{}.png", "labels/{}.png", False),
        ("images/{}.JPG", "labels/{}.png", True),
        ("images/{}.TIFF", "labels/{}.png", False),
        ("images/{}.webp", "labels/{}.png", True),
        ("images/{}.bmp", "labels/{}.PNG", True),
    ],
)
def test_evaluate_reads_a_folder_without_splits(image: str, label: str, classes: bool, tmp_path: Path) -> None:
    data = tmp_path / "data"
    for k in range(3):
        write(picture(k), data / image.format(k))
        write(blocks(k, (0, 1, 2)), data / label.format(k))
    if classes:
        (data / "classes.json").write_text(json.dumps({"names": SHAPES.names}))
    model = student(tmp_path / "student", SHAPES)
    found = scores(model, tmp_path / "s.json", "--data", data)
    assert (found["split"], found["images"]) == ("all", 3)
    # Images that lists divide are those of the list.
    if classes:
        (data / "splits").mkdir()
        (data / "splits" / "val.txt").write_text("1\n")
        (data / "splits" / "train.txt").write_text("0\n2\n")
        assert scores(model, tmp_path / "s.json", "--data", data)["images"] == 1


def test_evaluate_reads_boxes_of_exports(tmp_path: Path) -> None:
    options = {"backbone": "resnet18_025", "channels": 16, "depth": 1}
    classes = Classes(("car", "tree"), ((1, 2, 3), (4, 5, 6)))
    save_package(MODELS["gfl"](2, **options), config_of("gfl", options, classes, "detection"), tmp_path / "student")
    found = scores(tmp_path / "student", tmp_path / "s.json", "--data", make_labelme(tmp_path / "data"))
    assert (found["split"], found["images"]) == ("all", 2)


def test_predict_takes_all_images_of_an_export(tmp_path: Path) -> None:
    data = make_labelme(tmp_path / "data")
    write(picture(5), data / "not annotated yet.png")
    model = student(tmp_path / "student", SHAPES)
    status, printed = run("predict", model, data, "--out", tmp_path / "out")
    assert status == 0, printed
    assert printed.strip().startswith("3 images")
