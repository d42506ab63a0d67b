"""Wrong boxes are found and named; good ones are counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_trees import coco_content, make_coco, picture, write
from PIL import Image
from tiny_data import tiny_recipe

from densekd.data.check import DataReport, SplitFacts, look_at_all, summarize
from densekd.data.coco import coco
from densekd.recipe import parse_recipe
from densekd.run.data_check import check_data, data_table
from densekd.tasks.detection import Detection
from densekd.terminal import Terminal


def checked(root: Path, content: dict[str, Any] | None = None, workers: int = 0) -> DataReport:
    make_coco(root / "instances_train.json", root / "train", content)
    return rechecked(root, workers)


def rechecked(root: Path, workers: int = 0) -> DataReport:
    files = coco(root, "train")
    facts = list(look_at_all(Detection.look, files, workers))
    return summarize([SplitFacts("train", files, Detection.counted(files), facts)])


def whole_check(root: Path) -> DataReport:
    """Check the split as the command does, with what is judged of it as a whole."""
    recipe = tiny_recipe(root)
    recipe["task"] = {"kind": "detection"}
    recipe["data"].update(dataset="coco", val="train", allow=["val-is-train"])
    return check_data(parse_recipe(recipe, "test"), 0)


def with_box(box: list[float], **values: Any) -> dict[str, Any]:
    content = coco_content()
    content["annotations"][0] |= {"bbox": box, "area": 50, **values}
    return content


@pytest.mark.parametrize("workers", [0, 2])
def test_good_boxes_are_counted(tmp_path: Path, workers: int) -> None:
    content = coco_content()
    content["annotations"][1]["bbox"] = [20, 10, 40, 30]
    content["annotations"] += [
        {"id": 20 + k, "image_id": 30, "category_id": 3, "bbox": [0, 0, 100, 60], "area": area}
        for k, area in enumerate([32**2 - 1, 32**2, 96**2 - 1, 96**2])
    ]
    report = checked(tmp_path, content, workers)
    assert report.problems == ()
    assert report.to_json()["splits"]["train"] == {
        "images": 3,
        "sizes": {"64x128": 3},
        "pictures": {"RGB, 8 bits": {"images": 3, "values": (0.0, 255.0)}},
        "orientations": {"1": 3},
        "boxes": {"car": 5, "person": 2},
        "box_sizes": {"small": 4, "medium": 2, "large": 1},
        "others": {"crowds": 1, "not learnt": 0, "images without boxes": 1},
    }
    console = Terminal(width=200, record=True)
    console.print(data_table(report))
    text = console.export_text()
    assert "3: 3 of 64 x 128" in text
    assert "5 car, 2 person" in text
    assert "4 small, 2 medium, 1 large" in text


@pytest.mark.parametrize(
    ("box", "level", "message", "not_learnt"),
    [
        ([120, 10, 40, 30], "warning", "boxes partly outside the image, learnt as far as inside (1): person (120, ", 0),
        ([-0.6, 10, 40, 30], "warning", "boxes partly outside", 0),
        (
            [128, 10, 40, 30],
            "error",
            "boxes outside the image, correct or remove them (1): person (128, 10, 168, 40)",
            1,
        ),
        ([10, -40, 40, 30], "error", "boxes outside the image", 1),
        ([10, 10, 0, 30], "warning", "boxes without width or height, not learnt (1): person (10, 10, 10, 40)", 1),
        ([10, 10, 20, -5], "warning", "boxes without width or height, not learnt (1): person (10, 10, 30, 5)", 1),
        ([10, 10, 0.5, 30], "warning", "boxes less than a pixel wide or high or without area, not learnt (1): per", 1),
    ],
)
def test_an_odd_box_is_named(tmp_path: Path, box: list[float], level: str, message: str, not_learnt: int) -> None:
    content = with_box(box)
    content["annotations"][1]["bbox"] = [20, 10, 40, 30]
    report = checked(tmp_path, content)
    [problem] = report.problems
    assert (problem.level, problem.split, problem.file) == (level, "train", str(tmp_path / "train/030.png"))
    assert problem.what.startswith(message)
    assert report.fails == (level == "error")
    assert report.splits[0].counts["others"]["not learnt"] == not_learnt


def test_rounding_and_pixels_are_no_oddity(tmp_path: Path) -> None:
    for k, box in enumerate(([-0.4, 10, 40, 30], [88.4, 30, 40, 34.4], [127, 63, 1, 1], [100.3, 60.1, 1, 1])):
        content = with_box(list(box))
        content["annotations"][1]["bbox"] = [20, 10, 40, 30]
        assert checked(tmp_path / str(k), content).problems == ()


def test_of_many_boxes_the_first_are_named(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"] = [
        {"id": k + 1, "image_id": 10, "category_id": 3 + 4 * (k % 2), "bbox": [k, 0, 0, 0]} for k in range(7)
    ]
    [problem] = checked(tmp_path, content).problems
    listed = "car (0, 0, 0, 0), person (1, 0, 1, 0), car (2, 0, 2, 0), person (3, 0, 3, 0), car (4, 0, 4, 0), ..."
    assert problem.what == f"boxes without width or height, not learnt (7): {listed}"


def test_all_problems_are_listed(tmp_path: Path) -> None:
    checked(tmp_path)
    write(picture(0, (64, 120)), tmp_path / "train/010.png")
    (tmp_path / "train/020.png").write_bytes(b"not a picture")
    absent, *problems = whole_check(tmp_path).problems
    assert [problem.level for problem in problems] == ["error", "error"]
    assert problems[0].what.startswith(f"{tmp_path}/train/010.png is 120 x 64 pixels, but its annotations say 128 x 64")
    assert "020.png: the image cannot be read" in problems[1].what
    assert (absent.level, absent.what) == ("warning", "in all 1 images 1 of 2 classes never occur: car.")


def test_a_class_that_only_crowds_have_never_occurs(tmp_path: Path) -> None:
    content = coco_content()
    content["annotations"][1] |= {"iscrowd": 1, "bbox": [20, 10, 40, 30]}
    checked(tmp_path, content)
    [problem] = whole_check(tmp_path).problems
    assert problem.what == "in all 3 images 1 of 2 classes never occur: car."


def test_the_same_image_twice_and_a_turned_one_are_remarked(tmp_path: Path) -> None:
    checked(tmp_path)
    (tmp_path / "train/030.png").write_bytes((tmp_path / "train/020.png").read_bytes())
    image = Image.fromarray(np.zeros((64, 128, 3), np.uint8))
    exif = image.getexif()
    exif[0x0112] = 6
    image.save(tmp_path / "train/010.png", exif=exif)
    odd, turned, twice = rechecked(tmp_path).problems
    assert odd.what.startswith("boxes partly outside the image")
    # The annotations say 128 x 64, which the stored pixels are.
    assert turned.what == "EXIF orientation 6 (1 image): not turned: their labels or boxes fit the stored pixels"
    assert turned.file == str(tmp_path / "train/010.png")
    assert twice.what == f"the same image as {tmp_path}/train/030.png (train)"
