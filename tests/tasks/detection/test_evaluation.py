"""Detectors are scored, and what they find is written and drawn, in pixels of the original images."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from plain_scores import plain
from torch import Tensor, nn

from densekd.data.annotations import Annotations
from densekd.data.classes import Classes
from densekd.data.detection import DetectionFiles, DetectionItem
from densekd.errors import UserError
from densekd.models import find_model
from densekd.models.open import open_model
from densekd.models.package import PackageConfig, save_package
from densekd.ops.boxes import Boxes, Detections
from densekd.run.evaluate import predictor_of
from densekd.tasks.detection import BoxPredictor, Detection
from densekd.tasks.detection.evaluation import confident
from densekd.tasks.detection.pictures import (
    FALSE,
    MISSED,
    RIGHT,
    box_picture,
    error_picture,
    mistakes,
    truth_marks,
)
from densekd.tasks.detection.prediction import image_numbers
from densekd.tasks.records import NAME as RECORDS

CLASSES = Classes(("red", "green"), ((200, 0, 0), (0, 200, 0)))
CATEGORIES = (3, 17)
TASK = Detection(2)


class Color(nn.Module):
    """Finds the rectangle around all red and around all green pixels; of red it is surer."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Parameter(torch.tensor([0.9, 0.2]))
        self.seen: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        assert not self.training
        assert not torch.is_grad_enabled()
        return images

    def losses(self, output: Tensor, target: Boxes) -> dict[str, Tensor]:
        return {}

    def detect(self, output: Tensor, sizes: Tensor) -> list[Detections]:
        self.seen += [tuple(size) for size in sizes.tolist()]
        return [self._around(image) for image in output]

    def _around(self, image: Tensor) -> Detections:
        boxes, labels = [], []
        for label in (0, 1):
            y, x = torch.where(image[label] > 0.7)
            if len(y):
                boxes.append([x.min(), y.min(), x.max() + 1, y.max() + 1])
                labels.append(label)
        found = torch.tensor(labels, dtype=torch.int64)
        return Detections(torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4), self.scores[found], found)


def predictor(resize: tuple[int, int] | None = None) -> BoxPredictor:
    palette = [list(color) for color in CLASSES.palette]
    package = PackageConfig("color", {}, list(CLASSES.names), palette, resize=resize, categories=CATEGORIES)
    return TASK.predictor(Color(), package)


def annotations(boxes: Any, labels: list[int], crowd: list[int] | None = None) -> Annotations:
    corners = np.array(boxes, np.float32).reshape(-1, 4)
    sides = corners[:, 2:] - corners[:, :2]
    return Annotations(
        corners,
        np.array(labels, np.int64),
        np.array(crowd if crowd else [0] * len(labels), bool),
        sides.prod(1).astype(np.float64),
    )


def detections(boxes: Any, scores: list[float], labels: list[int]) -> Detections:
    return Detections(
        torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        torch.tensor(scores),
        torch.tensor(labels, dtype=torch.int64),
    )


def painted(boxes: Any, labels: list[int], size: tuple[int, int]) -> np.ndarray:
    image = np.full((*size, 3), 60, np.uint8)
    for (x1, y1, x2, y2), label in zip(boxes, labels, strict=True):
        image[y1:y2, x1:x2] = (255, 0, 0) if label == 0 else (0, 255, 0)
    return image


@pytest.fixture
def files(tmp_path: Path) -> DetectionFiles:
    """Three images: red and green, green that is called red, and nothing."""
    scenes = [
        ("b/7", (48, 64), [[4, 8, 20, 24], [32, 8, 60, 40]], [0, 1], [0, 1]),
        ("b/8", (48, 64), [[8, 8, 40, 40]], [1], [0]),
        ("b/12", (40, 40), [], [], []),
    ]
    items = []
    for stem, size, boxes, seen, said in scenes:
        path = tmp_path / "in" / f"{stem}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(painted(boxes, seen, size)).save(path)
        items.append(DetectionItem(stem, path, int(path.stem), size, annotations(boxes, said)))
    return DetectionFiles(CLASSES, tuple(items), CATEGORIES)


def test_scores_are_computed_by_hand_and_named(files: DetectionFiles) -> None:
    """Red: one of two is found, so 51 of 101 recall levels are reached.

    Green: a right and a false one of one score; ties are sorted by image number, so the right one comes first.
    """
    scores = TASK.scores(Color(), files, None)
    assert scores["ap_by_class"] == {"red": pytest.approx(100 * 51 / 101), "green": pytest.approx(100)}
    assert scores["ap50_by_class"] == scores["ap_by_class"]
    assert scores["ap"] == pytest.approx((100 * 51 / 101 + 100) / 2)
    assert scores["ap_large"] is None
    assert scores["ar_100"] == pytest.approx(75)
    assert (scores["images"], scores["parameters"]) == (3, 2)
    json.dumps(plain(scores))


def test_boxes_are_scored_at_the_original_size_when_the_model_sees_smaller_images(files: DetectionFiles) -> None:
    model = Color()
    assert TASK.scores(model, files, (24, 32))["ap_by_class"]["green"] == pytest.approx(100)
    assert model.seen == [(24, 32), (24, 32), (24, 24)]


def test_workers_change_nothing(files: DetectionFiles) -> None:
    assert plain(TASK.scores(Color(), files, None, workers=1)) == plain(TASK.scores(Color(), files, None))


def test_gradients_stay_on_around_an_evaluation(files: DetectionFiles) -> None:
    TASK.scores(Color(), files, None)
    assert torch.is_grad_enabled()


def test_a_segmentation_model_is_no_detector(files: DetectionFiles) -> None:
    with pytest.raises(UserError, match="is no detector"):
        TASK.scores(nn.Conv2d(3, 2, 1), files, None)


def test_a_folder_is_predicted_into_pictures_and_a_results_file(files: DetectionFiles, tmp_path: Path) -> None:
    predict = predictor()
    assert isinstance(predict, BoxPredictor)
    out = tmp_path / "out"
    assert predict.predict_folder(tmp_path / "in", out) == 3
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert written == ["boxes/b/12.png", "boxes/b/7.png", "boxes/b/8.png", "detections.json", RECORDS]
    results = json.loads((out / "detections.json").read_text())
    assert [one.pop("score") for one in results] == pytest.approx([0.9, 0.2, 0.2])
    assert results == [
        {"image_id": 7, "file_name": "b/7.png", "category_id": 3, "bbox": [4, 8, 16, 16]},
        {"image_id": 7, "file_name": "b/7.png", "category_id": 17, "bbox": [32, 8, 28, 32]},
        {"image_id": 8, "file_name": "b/8.png", "category_id": 17, "bbox": [8, 8, 32, 32]},
    ]
    drawn = Image.open(out / "boxes" / "b" / "7.png")
    assert (drawn.mode, drawn.size) == ("RGB", (64, 48))
    assert drawn.getpixel((4, 23)) == drawn.getpixel((19, 23)) == CLASSES.palette[0]
    assert drawn.getpixel((20, 24)) == (60, 60, 60)
    assert drawn.getpixel((32, 39)) == (0, 255, 0)  # below the threshold, so not drawn


def test_images_of_a_resumed_prediction_are_numbered_together(files: DetectionFiles, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "b"
    for number in ("7", "8"):
        (folder / f"{number}.png").rename(folder / f"n{number}.png")
    (folder / "n7.png").rename(tmp_path / "n7.png")
    predictor().predict_folder(folder, tmp_path / "out")
    # A picture that comes to be the second moves the number of the third.
    (tmp_path / "n7.png").rename(folder / "n7.png")
    predictor().predict_folder(folder, tmp_path / "out", resume=True)
    results = json.loads((tmp_path / "out" / "detections.json").read_text())
    assert [(one["image_id"], one["file_name"]) for one in results] == [(2, "n7.png"), (2, "n7.png"), (3, "n8.png")]


def test_a_results_file_is_what_pycocotools_reads(files: DetectionFiles, tmp_path: Path, capsys: Any) -> None:
    coco = pytest.importorskip("pycocotools.coco")
    predictor().predict_folder(tmp_path / "in", tmp_path)
    truth = coco.COCO()
    truth.dataset = {"images": [{"id": k} for k in (7, 8, 12)], "categories": [{"id": k} for k in CATEGORIES]}
    truth.createIndex()
    assert truth.loadRes(str(tmp_path / "detections.json")).getImgIds() == [7, 8, 12]


def test_a_single_image_and_one_without_detections(files: DetectionFiles, tmp_path: Path) -> None:
    assert predictor().predict_folder(tmp_path / "in" / "b" / "12.png", tmp_path) == 1
    assert json.loads((tmp_path / "detections.json").read_text()) == []
    assert np.array_equal(Image.open(tmp_path / "boxes" / "12.png"), files.image(2))


@pytest.mark.parametrize(
    ("stems", "numbers"),
    [
        (["000000000139", "val/000000000285"], [139, 285]),
        (["a", "000000000139"], [1, 2]),
        (["a/1", "b/1"], [1, 2]),
        (["x"], [1]),
    ],
)
def test_numbers_of_images(stems: list[str], numbers: list[int]) -> None:
    assert image_numbers(stems) == numbers


def test_sample_pictures_are_named_after_image_and_model(files: DetectionFiles, tmp_path: Path) -> None:
    predictors = {name: predictor((24, 32)) for name in ("teacher", "student")}
    TASK.sample_pictures(predictors, files, tmp_path / "out", [0, 2])
    parts = ("image", "student", "student-errors", "teacher", "teacher-errors", "truth")
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == sorted(f"{stem}.{part}.png" for stem in ("b_7", "b_12") for part in parts)
    assert np.array_equal(Image.open(tmp_path / "out" / "b_7.image.png"), files.image(0))
    truth = Image.open(tmp_path / "out" / "b_7.truth.png")
    assert truth.getpixel((4, 23)) == CLASSES.palette[0]
    assert truth.getpixel((59, 39)) == CLASSES.palette[1]
    errors = Image.open(tmp_path / "out" / "b_7.student-errors.png")
    assert errors.getpixel((4, 23)) == RIGHT
    assert errors.getpixel((59, 39)) == MISSED
    assert np.unique(np.array(Image.open(tmp_path / "out" / "b_12.student-errors.png"))).tolist() == [190]


def test_mistakes() -> None:
    truth = annotations([[0, 0, 10, 10], [20, 0, 30, 10], [50, 0, 90, 40]], [0, 1, 0], [0, 0, 1])
    found = detections(
        [[0, 0, 10, 8], [0, 0, 10, 10], [20, 0, 30, 10], [20, 0, 24, 10], [60, 10, 70, 20], [85, 0, 99, 9]],
        [0.9, 0.8, 0.7, 0.6, 0.5, 0.4],
        [0, 0, 0, 1, 0, 0],
    )
    false, missed = mistakes(found, truth)
    # Taken by a better one; of another class; IoU 0.4; inside the crowd; mostly outside of it.
    assert false.tolist() == [False, True, True, True, False, True]
    assert missed.tolist() == [False, True, False]


def test_mistakes_where_one_side_is_empty() -> None:
    some, none = [[0, 0, 10, 10]], np.zeros((0, 4))
    false, missed = mistakes(detections(none, [], []), annotations(some, [0]))
    assert (false.tolist(), missed.tolist()) == ([], [True])
    false, missed = mistakes(detections(some, [0.5], [0]), annotations(none, []))
    assert (false.tolist(), missed.tolist()) == ([True], [])


def test_an_error_picture_is_pale_with_false_boxes_in_a_colour_of_their_own() -> None:
    image = np.full((40, 80, 3), 100, np.uint8)
    found = detections([[40, 20, 60, 36]], [0.5], [1])
    drawn = error_picture(image, found, annotations([[4, 20, 24, 36]], [0]), CLASSES)
    assert drawn.getpixel((4, 35)) == MISSED
    assert drawn.getpixel((59, 35)) == FALSE
    assert drawn.getpixel((70, 38)) == (200, 200, 200)


def test_boxes_of_a_pixel_and_beyond_the_image_are_drawn() -> None:
    image = np.zeros((20, 30, 3), np.uint8)
    truth = annotations([[5, 15, 6, 16], [-10, -10, 50, 19], [28.6, 17, 29.4, 17.2]], [0, 1, 1])
    drawn = box_picture(image, truth_marks(truth, CLASSES))
    assert drawn.size == (30, 20)
    assert drawn.getpixel((5, 15)) == CLASSES.palette[0]
    assert drawn.getpixel((20, 18)) == CLASSES.palette[1]
    assert not image.any()


def test_a_crowd_is_called_one() -> None:
    texts = [mark.text for mark in truth_marks(annotations([[0, 0, 9, 9]] * 2, [0, 1], [0, 1]), CLASSES)]
    assert texts == ["red", "green (crowd)"]


def test_a_threshold_keeps_what_has_it() -> None:
    found = detections([[0, 0, 1, 1], [0, 0, 2, 2], [0, 0, 3, 3]], [0.9, 0.5, 0.25], [0, 1, 0])
    kept = confident(found, 0.5)
    assert kept.labels.tolist() == [0, 1]
    assert kept.boxes[:, 2].tolist() == [1, 2]


def test_a_detector_is_opened_from_its_package(files: DetectionFiles, tmp_path: Path) -> None:
    options = {"backbone": "resnet18_025", "channels": 16, "depth": 1}
    palette = [list(color) for color in CLASSES.palette]
    config = PackageConfig(
        "gfl",
        options,
        list(CLASSES.names),
        palette,
        resize=(32, 64),
        categories=CATEGORIES,
        task="detection",
    )
    save_package(find_model("gfl")(num_classes=2, **options), config, tmp_path / "student")
    predict = predictor_of(open_model(tmp_path / "student"), tmp_path / "student", [])
    assert isinstance(predict, BoxPredictor)
    assert (predict.classes.names, predict.categories, predict.resize) == (CLASSES.names, CATEGORIES, (32, 64))
    assert predict.predict_folder(tmp_path / "in", tmp_path / "out") == 3
    with pytest.raises(UserError, match="voc wants labelled pixels, and the model is a detector"):
        predict.write_submission(tmp_path / "in", tmp_path / "out", "voc")


def test_predictors_say_what_they_write(files: DetectionFiles, tmp_path: Path) -> None:
    replace(predictor(), threshold=0.1).predict_folder(tmp_path / "in", tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {*BoxPredictor.writes, RECORDS}
