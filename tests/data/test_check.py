"""Every kind of broken data is found, named and told how to mend; good data is measured."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from annotation_exports import coco_content, make_cvat_coco, make_labelme, write
from PIL import Image
from tiny_data import make_folder, tiny_recipe
from typer.testing import CliRunner

from densekd.cli.app import app
from densekd.data.files import read_image
from densekd.data.folder import folder
from densekd.errors import UserError
from densekd.recipe import parse_recipe
from densekd.run.data_check import check_data, data_table
from densekd.terminal import Terminal


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "data", {"train": 3, "val": 2})


def checked(root: Path, workers: int = 0) -> Any:
    return check_data(parse_recipe(tiny_recipe(root), "test"), workers)


def errors(root: Path) -> list[str]:
    report = checked(root)
    assert report.fails
    return [f"{problem.split}: {problem.what}" for problem in report.problems if problem.level == "error"]


def truncate(root: Path) -> None:
    path = root / "images/train/001.png"
    image = Image.open(path).resize((480, 320))
    path.unlink()
    image.save(path.with_suffix(".jpg"))
    Image.fromarray(np.zeros((320, 480), np.uint8)).save(root / "labels/train/001.png")
    data = path.with_suffix(".jpg").read_bytes()
    path.with_suffix(".jpg").write_bytes(data[: len(data) // 2])


def wrong_size(root: Path) -> None:
    Image.fromarray(np.zeros((32, 47), np.uint8)).save(root / "labels/train/001.png")


def stray_value(root: Path) -> None:
    label = np.zeros((32, 48), np.uint8)
    label[5, 7] = 77
    Image.fromarray(label).save(root / "labels/train/001.png")


def missing_label(root: Path) -> None:
    (root / "labels/train/001.png").unlink()


def empty_split(root: Path) -> None:
    shutil.rmtree(root / "images/train")
    (root / "images/train").mkdir()


def link_loop(root: Path) -> None:
    path = root / "images/train/001.png"
    path.unlink()
    path.symlink_to("001.png")


def no_permission(root: Path) -> None:
    (root / "labels/train/001.png").chmod(0)


def case_of_the_stem(root: Path) -> None:
    (root / "labels/train/001.png").rename(root / "labels/train/001A.png")
    (root / "images/train/001.png").rename(root / "images/train/001a.png")


@pytest.mark.parametrize(
    ("breaks", "message"),
    [
        (truncate, "001.jpg: the image cannot be read (image file is truncated"),
        (wrong_size, "images/train/001.png is 48 x 32 pixels, but its label"),
        (stray_value, "labels/train/001.png: label value 77 at row 5, column 7; the 3 classes are 0..2"),
        (missing_label, "1 of 3 files have no label in"),
        (empty_split, "images/train: no images"),
        (link_loop, "001.png: the image cannot be read ([Errno 40] Too many levels of symbolic links"),
        (case_of_the_stem, "1 of 3 files have no label in"),
    ],
)
def test_a_broken_file_is_found_and_stops_a_training(
    root: Path, tmp_path: Path, breaks: Callable[[Path], None], message: str
) -> None:
    breaks(root)
    found = errors(root)
    assert len(found) == 1
    assert message in found[0]
    assert found[0].startswith("train: ")
    (tmp_path / "recipe.yaml").write_text(json.dumps(tiny_recipe(root)))
    result = CliRunner().invoke(app, ["data", "check", str(tmp_path / "recipe.yaml"), "--workers", "0"])
    assert result.exit_code == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission(root: Path) -> None:
    no_permission(root)
    assert "cannot be read ([Errno 13] Permission denied" in errors(root)[0]


def test_a_file_that_the_system_refuses(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if str(path).endswith("labels/train/001.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "labels/train/001.png: the label cannot be read ([Errno 13] Permission denied" in errors(root)[0]


def test_all_problems_are_listed_not_only_the_first(root: Path) -> None:
    stray_value(root)
    Image.fromarray(np.zeros((3, 4), np.uint8)).save(root / "labels/val/000.png")
    shutil.copy(root / "images/train/000.png", root / "images/val/001.png")
    found = [(p.level, p.split, p.what) for p in checked(root).problems]
    assert [f[:2] for f in found] == [("error", "train"), ("error", "val"), ("warning", "train")]
    assert found[2][2] == f"the same image as {root}/images/val/001.png (val); scores on it prove nothing"


def test_a_suffix_in_capitals_is_read_and_remarked(root: Path) -> None:
    (root / "labels/train/001.png").rename(root / "labels/train/001.PNG")
    report = checked(root)
    assert not report.fails
    assert [p.what for p in report.problems] == [
        "the suffix of 001.PNG is not in lower case; other tools will not find it"
    ]


def test_a_turned_photograph_is_remarked(root: Path) -> None:
    path = root / "images/val/000.png"
    image = Image.open(path)
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(path, exif=exif)
    [problem] = checked(root).problems
    # The label has the size of the stored pixels.
    assert problem.what == "EXIF orientation 6 (1 image): not turned: their labels or boxes fit the stored pixels"
    assert problem.file == str(path)


def test_good_data_is_measured(root: Path) -> None:
    for k in range(2):
        label = np.array(Image.open(root / f"labels/val/{k:03}.png"))
        label[label == 2] = 0
        Image.fromarray(label).save(root / f"labels/val/{k:03}.png")
    report = checked(root, workers=2)
    assert not report.fails
    content = report.to_json()
    assert content == checked(root).to_json()
    assert content["splits"]["train"]["images"] == 3
    assert content["splits"]["train"]["sizes"] == {"32x48": 3}
    labels = np.stack([np.array(Image.open(root / f"labels/train/{k:03}.png")) for k in range(3)])
    values = {"class0": 0, "class1": 1, "class2": 2, "void": 255}
    expected = {name: int((labels == value).sum()) for name, value in values.items()}
    assert content["splits"]["train"]["pixels"] == expected
    assert [p["what"] for p in content["problems"]] == ["in all 2 images 1 of 3 classes never occur: class2."]
    console = Terminal(width=200, record=True)
    console.print(data_table(report))
    assert "3: 3 of 32 x 48" in console.export_text()


def test_the_command_writes_json_and_succeeds(root: Path, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text(json.dumps(tiny_recipe(root)))
    out = tmp_path / "report.json"
    recipe = str(tmp_path / "recipe.yaml")
    result = CliRunner().invoke(app, ["data", "check", recipe, "--json", str(out), "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text())["fails"] is False


def test_class_numbers_may_have_sixteen_bits(root: Path) -> None:
    file = root / "labels/train/001.png"
    Image.fromarray(np.full((32, 48), 2, np.uint16)).save(file)
    assert np.array_equal(folder(root, "train").label(1), np.full((32, 48), 2))
    # An instance map, whose numbers are no classes.
    Image.fromarray(np.full((32, 48), 300, np.uint16)).save(file)
    with pytest.raises(UserError, match="label values from 300 to 300; class numbers are 0 to 255"):
        folder(root, "train").label(1)


def test_sixteen_bit_images_are_scaled_not_clipped(root: Path) -> None:
    Image.fromarray((np.arange(32 * 48).reshape(32, 48) * 40).astype(np.uint16)).save(root / "images/train/000.png")
    image = read_image(root / "images/train/000.png")
    assert image[..., 0].ravel().tolist() == [(value * 40) >> 8 for value in range(32 * 48)]
    assert np.array_equal(image[..., 0], image[..., 2])


def warnings(report: Any) -> list[str]:
    return [problem.what for problem in report.problems if problem.level == "warning"]


def test_validation_on_the_training_split_is_an_error(root: Path) -> None:
    content = tiny_recipe(root)
    content["data"]["val"] = "train"
    report = check_data(parse_recipe(content, "test"), 0)
    assert report.fails
    assert "'train' is data.train too" in report.problems[0].what
    content["data"]["allow"] = ["val-is-train"]
    assert not check_data(parse_recipe(content, "test"), 0).fails


def fill(root: Path, split: str, value: int) -> None:
    for path in (root / "labels" / split).glob("*.png"):
        Image.fromarray(np.full((32, 48), value, np.uint8)).save(path)


def test_nothing_to_learn_is_an_error_of_the_training_split_alone(root: Path) -> None:
    fill(root, "val", 255)
    report = checked(root)
    assert not report.fails
    assert "in all 2 images every label is void (255), so that nothing is learnt." in warnings(report)
    fill(root, "train", 0)
    assert "train: in all 3 images every labelled pixel is of the class 'class0'" in errors(root)[0]
    content = tiny_recipe(root)
    content["data"]["allow"] = ["nothing-to-learn"]
    assert not check_data(parse_recipe(content, "test"), 0).fails


def test_a_class_that_hides_the_others_is_said(root: Path) -> None:
    for path in (root / "labels" / "train").glob("*.png"):
        label = np.zeros((32, 48), np.uint8)
        label[0, :2] = 1, 2
        Image.fromarray(label).save(path)
    assert "99.87 % of the labelled pixels are of the class 'class0'" in "".join(warnings(checked(root)))


def test_what_cannot_be_read_does_not_hide_what_can(root: Path) -> None:
    stray_value(root)
    for k in (0, 2):
        Image.fromarray(np.zeros((32, 48), np.uint8)).save(root / f"labels/train/{k:03}.png")
    single, stray = errors(root)
    assert "label value 77" in stray
    assert "in all 2 images every labelled pixel is of the class 'class0'" in single


def test_iscrowd_as_text_and_boxes_outside_are_said(tmp_path: Path) -> None:
    content = coco_content()
    for annotation in content["annotations"]:
        annotation["iscrowd"] = "0"
    content["annotations"][1]["bbox"] = [100, 10, 20, 20]
    write(make_cvat_coco(tmp_path) / "annotations" / "instances_default.json", content)
    recipe = tiny_recipe(tmp_path)
    recipe["task"] = {"kind": "detection"}
    recipe["data"].update(dataset="coco", train="default", val="default", allow=["val-is-train"])
    report = check_data(parse_recipe(recipe, "test"), 0)
    assert 'boxes: iscrowd is text ("0") in 4 annotations' in "".join(warnings(report))
    outside = [problem.what for problem in report.problems if problem.level == "error"]
    assert "tree (100, 10, 120, 30)" in "".join(outside)


def test_masks_drawn_from_polygons_are_measured(tmp_path: Path) -> None:
    make_labelme(tmp_path, 8)
    recipe = tiny_recipe(tmp_path)
    recipe["data"].update(dataset="labelme", split={"val": 0.25})
    report = check_data(parse_recipe(recipe, "test"), 0)
    assert not report.fails
    assert report.splits[0].counts["pixels"]["car"] == 6 * (10 * 14 - 4 * 4)
    assert "are 'background'" in warnings(report)[0]
