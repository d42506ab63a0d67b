from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from plain_scores import plain
from tiny_data import make_folder, make_scene
from torch import Tensor, nn

from densekd.data.classes import Classes
from densekd.data.files import SegmentationFiles
from densekd.data.folder import folder
from densekd.errors import UserError
from densekd.tasks.records import NAME as RECORDS
from densekd.tasks.segmentation import LabelPredictor, Segmentation, SegmentationEvaluation
from densekd.tasks.segmentation.inference import Window
from densekd.tasks.segmentation.pictures import color_picture, overlay

CLASSES = Classes(("dark", "red", "green"), ((10, 20, 30), (200, 0, 0), (0, 200, 0)))
TASK = Segmentation(3, 255)


class Constant(nn.Module):
    """Says class 1 everywhere, at a quarter of the resolution."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor([0.0, 1.0, 0.5]))
        self.sizes: list[tuple[int, ...]] = []

    def forward(self, images: Tensor) -> Tensor:
        assert not self.training
        B, _, H, W = images.shape
        self.sizes.append((H, W))
        return self.bias.view(1, 3, 1, 1).expand(B, 3, H // 4, W // 4)


class Color(nn.Module):
    """Says 1 where red and 2 where green exceeds a half, else 0; at full resolution."""

    def forward(self, images: Tensor) -> Tensor:
        red, green = images[:, :1], images[:, 1:2]
        return torch.cat([torch.full_like(red, 0.5), red, green], 1)


@pytest.fixture
def files(data_root: Path) -> SegmentationFiles:
    return folder(data_root, "val")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of two images, one in a sub-folder, 6 x 9 and 4 x 5 pixels."""
    (tmp_path / "in" / "town").mkdir(parents=True)
    halves = np.zeros((6, 9, 3), np.uint8)
    halves[:, 4:, 0] = 255
    Image.fromarray(halves).save(tmp_path / "in" / "a.png")
    Image.fromarray(np.full((4, 5, 3), (0, 255, 0), np.uint8)).save(tmp_path / "in" / "town" / "b.bmp")
    return tmp_path / "in"


def test_windows_step_by_two_thirds_of_each_side() -> None:
    window = SegmentationEvaluation(crop=(512, 1025)).inference.window
    assert window is not None
    # Rounded up: 341.3 and 683.3.
    assert window.stride == (342, 684)
    window = SegmentationEvaluation(crop=(512, 1025), stride=(100, 200)).inference.window
    assert window is not None
    assert window.stride == (100, 200)


def test_a_constant_model_scores_as_computed_by_hand(files: SegmentationFiles) -> None:
    labels = np.stack([files.label(index) for index in range(3)])
    share = 100 * float((labels == 1).sum() / (labels != 255).sum())
    result = TASK.scores(Constant(), files, None)
    assert result["iou"] == {"class0": 0, "class1": pytest.approx(share), "class2": 0}
    assert result["miou"] == pytest.approx(share / 3)
    assert result["macc"] == pytest.approx(100 / 3)
    assert result["aacc"] == pytest.approx(share)
    assert result["images"] == 3
    assert result["parameters"] == 3


def test_whole_images_are_scored_at_their_own_size_when_the_model_sees_smaller_ones(files: SegmentationFiles) -> None:
    model = Constant()
    assert TASK.scores(model, files, (16, 20))["iou"] == TASK.scores(model, files, None)["iou"]
    assert set(model.sizes) == {(16, 20), (32, 48)}


def test_images_of_several_sizes(tmp_path: Path) -> None:
    files = folder(make_folder(tmp_path, {"val": 2}), "val")
    image, label = make_scene(7, (24, 16), 3)
    Image.fromarray(image).save(files.items[0].image)
    Image.fromarray(label).save(files.items[0].label)
    truth = np.concatenate([files.label(0).ravel(), files.label(1).ravel()])
    result = TASK.scores(Constant(), files, None)
    assert result["aacc"] == pytest.approx(100 * (truth == 1).sum() / (truth != 255).sum())


def test_workers_change_nothing(files: SegmentationFiles) -> None:
    assert plain(TASK.scores(Color(), files, None, workers=1)) == plain(TASK.scores(Color(), files, None))


def test_evaluation_changes_no_gradient_and_leaves_evaluation_mode(files: SegmentationFiles) -> None:
    model = Constant().train()
    TASK.scores(model, files, None)
    assert model.bias.grad is None
    assert not model.training


def test_prediction_of_one_image_has_its_own_size() -> None:
    image = np.zeros((8, 12, 3), np.uint8)
    image[:, 6:, 0] = 255
    expected = [[0] * 6 + [1] * 6] * 8
    assert LabelPredictor(Color(), CLASSES, None)(image).tolist() == expected
    assert LabelPredictor(Color(), CLASSES, (4, 6))(image).tolist() == expected
    assert LabelPredictor(Color(), CLASSES, None)(image).dtype == np.uint8


def test_a_folder_is_predicted_with_its_sub_folders(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert LabelPredictor(Color(), CLASSES).predict_folder(pictures, out) == 2
    assert {path.name for path in out.iterdir()} == {*LabelPredictor.writes, RECORDS} == {"labels", "overlays", RECORDS}
    written = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert written == ["labels/a.png", "labels/town/b.png", "overlays/a.png", "overlays/town/b.png", RECORDS]
    label = Image.open(out / "labels" / "a.png")
    assert label.mode == "P"
    assert np.array(label).tolist() == [[0] * 4 + [1] * 5] * 6
    assert np.array(Image.open(out / "labels" / "town" / "b.png")).tolist() == [[2] * 5] * 4


def test_an_overlay_blends_image_and_classes_half_and_half(pictures: Path, tmp_path: Path) -> None:
    LabelPredictor(Color(), CLASSES).predict_folder(pictures, tmp_path / "out")
    blended = Image.open(tmp_path / "out" / "overlays" / "a.png")
    assert (blended.mode, blended.size) == ("RGB", (9, 6))
    assert blended.getpixel((0, 0)) == (5, 10, 15)
    assert blended.getpixel((8, 5)) == (227, 0, 0)


def test_a_predicted_label_can_be_learnt_from_again(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    LabelPredictor(Color(), CLASSES).predict_folder(pictures, out)
    item = type("Item", (), {"label": out / "labels" / "a.png"})
    assert SegmentationFiles(CLASSES, (item,)).label(0).tolist() == [[0] * 4 + [1] * 5] * 6  # type: ignore[arg-type]


def test_a_single_image(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert LabelPredictor(Color(), CLASSES).predict_folder(pictures / "town" / "b.bmp", out) == 1
    assert sorted(path.name for path in out.rglob("*.png")) == ["b.png", "b.png"]
    assert (out / "labels" / "b.png").is_file()


def test_a_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(UserError) as error:
        LabelPredictor(Color(), CLASSES).predict_folder(tmp_path, tmp_path / "out")
    assert str(error.value).startswith(f"{tmp_path}: no images (.jpg, .jpeg, .png")
    assert not (tmp_path / "out").exists()


def test_a_damaged_image_is_named_after_the_others_are_predicted(pictures: Path, tmp_path: Path) -> None:
    (pictures / "b.jpg").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"1 of 3 images were not predicted.*The other 2 are in") as error:
        LabelPredictor(Color(), CLASSES).predict_folder(pictures, tmp_path / "out")
    assert str(pictures / "b.jpg") in str(error.value)
    assert (tmp_path / "out" / "labels" / "a.png").is_file()
    assert (tmp_path / "out" / "labels" / "town" / "b.png").is_file()


def test_images_of_one_stem_keep_their_suffix(pictures: Path, tmp_path: Path) -> None:
    Image.new("RGB", (3, 2), (255, 0, 0)).save(pictures / "a.jpg")
    assert LabelPredictor(Color(), CLASSES).predict_folder(pictures, tmp_path / "out") == 3
    with Image.open(tmp_path / "out" / "labels" / "a.png.png") as label:
        assert label.size == (9, 6)
    with Image.open(tmp_path / "out" / "labels" / "a.jpg.png") as label:
        assert label.size == (3, 2)


@pytest.mark.parametrize("name", ["nowhere", "nowhere.jpg"])
def test_a_place_that_does_not_exist(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"{name}: no such"):
        LabelPredictor(Color(), CLASSES).predict_folder(tmp_path / name, tmp_path / "out")


def test_sample_pictures_are_named_after_image_and_model(files: SegmentationFiles, tmp_path: Path) -> None:
    predictors = {
        "teacher": LabelPredictor(Constant(), files.classes),
        "student": LabelPredictor(Color(), files.classes),
    }
    TASK.sample_pictures(predictors, files, tmp_path, [0, 2])
    parts = ("image", "student", "student-errors", "teacher", "teacher-errors", "truth")
    written = sorted(path.name for path in tmp_path.iterdir())
    assert written == sorted(f"{stem}.{part}.png" for stem in ("000", "002") for part in parts)
    image, label = files.pair(2)
    assert np.array_equal(Image.open(tmp_path / "002.image.png"), image)
    assert np.array_equal(Image.open(tmp_path / "002.truth.png"), label)
    assert np.unique(np.array(Image.open(tmp_path / "002.teacher.png"))).tolist() == [1]


def test_sample_pictures_of_sub_folders_lie_side_by_side(data_root: Path, tmp_path: Path) -> None:
    item = folder(data_root, "val").items[0]._replace(stem="town/000")
    files = SegmentationFiles(Classes(("a", "b", "c"), ((0, 0, 0),) * 3), (item,))
    TASK.sample_pictures({}, files, tmp_path, [0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["town_000.image.png", "town_000.truth.png"]


def test_a_color_picture_shows_void_black_and_keeps_the_numbers() -> None:
    label = np.array([[0, 1, 2, 255]], np.uint8)
    shown = color_picture(label, CLASSES)
    assert np.array(shown).tolist() == label.tolist()
    assert np.array(shown.convert("RGB"))[0].tolist() == [[10, 20, 30], [200, 0, 0], [0, 200, 0], [0, 0, 0]]


def test_an_overlay_over_black_is_half_as_bright() -> None:
    blended = overlay(np.zeros((1, 1, 3), np.uint8), np.array([[1]]), CLASSES)
    assert blended.getpixel((0, 0)) == (100, 0, 0)


@pytest.mark.parametrize(
    ("stride", "expected"),
    [
        (None, (342, 683)),  # ceil(512 * 2 / 3), ceil(1024 * 2 / 3)
        ("height", (342, 342)),
        ((100, 200), (100, 200)),
    ],
)
def test_windows_step_by_two_thirds_of_each_side_or_of_the_height(stride: Any, expected: tuple[int, int]) -> None:
    inference = SegmentationEvaluation(crop=(512, 1024), stride=stride).inference
    assert inference.window == Window((512, 1024), expected)


@pytest.mark.parametrize("crop", [None, (90, 50)])
def test_steps_of_the_height_leave_no_gaps(crop: tuple[int, int] | None) -> None:
    with pytest.raises(ValueError, match="stride needs a crop"):
        SegmentationEvaluation(crop=crop, stride="height")


def test_predictions_and_scores_stretch_images_to_the_divisor(files: SegmentationFiles) -> None:
    """Images of 32 x 48 pixels, of which the longer side is rounded up to 64."""
    task = Segmentation(3, 255, evaluation=SegmentationEvaluation(divisor=32))
    model = Constant()
    task.scores(model, files, None)
    assert set(model.sizes) == {(32, 64)}
    model.sizes.clear()
    label = LabelPredictor(model, CLASSES, None, task.evaluation.inference)(np.zeros((33, 20, 3), np.uint8))
    assert label.shape == (33, 20)
    assert model.sizes == [(64, 32)]
