"""Trainings on images of other bands than RGB, from recipe to prediction."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tiny_bands import band_image, make_bands
from tiny_data import make_depth, make_folder, tiny_recipe
from training_runs import StopAt, assert_same, parsed, run

import densekd
from densekd.builders.bands import with_statistics
from densekd.builders.build import build
from densekd.data.picture import decode_bands
from densekd.errors import RecipeError, UserError
from densekd.recipe import load_recipe
from densekd.run.preflight import check

SPLITS = {"train": 6, "val": 3}


def recipe_of(root: Path, bands: Any, /, **student: Any) -> dict[str, Any]:
    content = tiny_recipe(root)
    content["data"]["bands"] = bands
    # Larger than the images, so that they are padded with the bands' means.
    content["augment"] = {"crop": [40, 64], "photometric": "mmseg"}
    content["student"] |= student
    return content


def first_image(root: Path) -> Path:
    return sorted((root / "images" / "val").iterdir())[0]


@pytest.mark.parametrize(("bands", "white"), [(1, 255), (4, 255), (4, 65535), (8, 65535)])
def test_a_training_on_bands_from_recipe_to_prediction(bands: int, white: int, tmp_path: Path) -> None:
    root = make_bands(tmp_path / "data", SPLITS, bands, white)
    results = run(parsed(recipe_of(root, bands)), tmp_path / "run")
    # The run's recipe and the package hold what was measured.
    data = load_recipe(tmp_path / "run" / "recipe.yaml").data
    stacked = np.concatenate([band_image(k, bands, white)[0].reshape(-1, bands) for k in range(6)]) / white
    assert data.mean == pytest.approx(stacked.mean(0), abs=1e-5)
    assert data.std == pytest.approx(stacked.std(0), abs=1e-5)
    package = json.loads((tmp_path / "run" / "student" / "config.json").read_text())
    assert package["bands"] == bands
    assert package["options"]["bands"]["mean"] == list(data.mean or ())
    # The package alone gives the same scores and labels, of files and of arrays.
    assert densekd.evaluate(tmp_path / "run" / "student", root)["miou"] == results["student"]["miou"]
    model = densekd.load(tmp_path / "run" / "student")
    path = first_image(root)
    label = model.predict(path)
    array = decode_bands(path.read_bytes(), bands)
    assert np.array_equal(label, model.predict(array))
    assert np.array_equal(label, model.predict(band_image(1000, bands, white)[0]))
    assert np.array_equal(label, model.predict(torch.from_numpy(array).permute(2, 0, 1)))
    # The report shows pictures of three channels.
    for picture in (tmp_path / "run" / "predictions").glob("*.image.png"):
        assert np.asarray(Image.open(picture)).shape == (32, 48, 3)
    with pytest.raises(UserError, match=rf"\[H, W, {bands}\]"):
        model.predict(np.zeros((8, 8, 3), np.uint8))


def test_a_resumed_training_is_the_same_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_bands(tmp_path / "data", SPLITS, 4, 65535)
    recipe = parsed(recipe_of(root, 4))
    run(recipe, tmp_path / "whole")
    with monkeypatch.context() as patch:
        StopAt(patch, 4, 15)
        with pytest.raises(BaseException):  # noqa: B017, PT011 -- whatever a stop raises
            run(recipe, tmp_path / "resumed")
    run(recipe, tmp_path / "resumed", "resume")
    assert_same(tmp_path / "whole", tmp_path / "resumed")


def test_a_teacher_sees_three_of_four_bands_and_its_cache_the_same(tmp_path: Path) -> None:
    root = make_bands(tmp_path / "data", SPLITS, 4)
    teacher = recipe_of(root, [1, 2, 3])
    run(parsed(teacher), tmp_path / "teacher")
    content = recipe_of(root, 4, bands="gray")
    content["teacher"] = {"checkpoint": str(tmp_path / "teacher"), "bands": [1, 2, 3]}
    content["distill"] = [{"method": "cwd", "weight": 1, "student": "logits", "teacher": "logits"}]
    recipe = parsed(content)
    built = build(recipe)
    images = torch.rand(1, 4, 32, 32)
    assert built.teacher is not None
    own = densekd.load(tmp_path / "teacher").eval()
    with torch.no_grad():
        found = built.teacher.model(images)
        torch.testing.assert_close(found, own(images[:, :3]), rtol=1e-4, atol=1e-5)
    assert built.distiller.student.normalize.gray.shape[1] == 3  # type: ignore[union-attr]
    plain = run(recipe, tmp_path / "plain")
    content["teacher"]["cache"] = {"folder": str(tmp_path / "cache"), "views": 2, "dtype": "fp32"}
    cached = run(parsed(content), tmp_path / "cached")
    assert {plain["teacher"]["miou"], cached["teacher"]["miou"]} == {plain["teacher"]["miou"]}
    assert json.loads((tmp_path / "cache" / "cache.json").read_text())["data"]["bands"] == "4"


def test_a_teacher_of_rgb_needs_its_bands_named(tmp_path: Path) -> None:
    root = make_bands(tmp_path / "data", SPLITS, 1)
    content = recipe_of(root, 1)
    content["teacher"] = {**content["student"], "checkpoint": "untrained"}
    content["distill"] = [{"method": "cwd", "weight": 1, "student": "logits", "teacher": "logits"}]
    with pytest.raises(RecipeError, match=r"teacher\.bands.*\[1, 1, 1\]"):
        build(parsed(content))
    content["teacher"]["bands"] = [1, 1, 1]
    assert build(parsed(content)).scored_teacher is not None


def test_a_preflight_of_bands_says_what_became_of_the_first_convolution(tmp_path: Path) -> None:
    root = make_bands(tmp_path / "data", SPLITS, 4)
    table = check(parsed(recipe_of(root, 4)), "1")
    assert any("times 3/4" in str(cell) for column in table.columns for cell in column.cells)


def test_a_student_goes_on_from_a_package_of_bands(tmp_path: Path) -> None:
    root = make_bands(tmp_path / "data", SPLITS, 4)
    run(parsed(recipe_of(root, 4)), tmp_path / "first")
    content = recipe_of(root, 4, checkpoint=str(tmp_path / "first" / "student"))
    before = densekd.load(tmp_path / "first").state_dict()
    student = build(parsed(content)).distiller.student
    assert all(torch.equal(value, student.state_dict()[key]) for key, value in before.items())


def test_bands_of_other_data_than_the_models_are_refused(tmp_path: Path) -> None:
    root = make_bands(tmp_path / "data", SPLITS, 4)
    run(parsed(recipe_of(root, 4)), tmp_path / "run")
    other = make_bands(tmp_path / "other", SPLITS, 8)
    with pytest.raises(UserError, match=r"000\.tif: it has 8 bands, and data\.bands is 4"):
        densekd.evaluate(tmp_path / "run" / "student", other)
    with pytest.raises(UserError, match=r"000\.tif: it has 8 bands"):
        run(parsed(recipe_of(other, 4)), tmp_path / "wrong")


def test_a_recipe_of_rgb_measures_nothing(tmp_path: Path) -> None:
    recipe = parsed(tiny_recipe(tmp_path / "nowhere"))
    assert not recipe.lacks_statistics
    root = make_bands(tmp_path / "data", SPLITS, 4)
    four = parsed(recipe_of(root, 4))
    assert four.lacks_statistics
    assert not with_statistics(four).lacks_statistics


def test_a_teacher_of_bands_needs_them(tmp_path: Path) -> None:
    root = make_bands(tmp_path / "data", SPLITS, 4)
    run(parsed(recipe_of(root, 4)), tmp_path / "teacher")
    content = tiny_recipe(make_folder(tmp_path / "rgb", SPLITS))
    content["teacher"] = {"checkpoint": str(tmp_path / "teacher")}
    content["distill"] = [{"method": "cwd", "weight": 1, "student": "logits", "teacher": "logits"}]
    with pytest.raises(RecipeError, match=r"takes 4 channels.*have 3 bands\. Read more bands by data\.bands"):
        build(parsed(content))


def test_a_detector_learns_of_gray_images(detection_recipe: dict[str, Any], tmp_path: Path) -> None:
    detection_recipe["data"]["bands"] = 1
    detection_recipe["augment"]["photometric"] = "torchvision"
    results = run(parsed(detection_recipe), tmp_path / "run")
    assert densekd.evaluate(tmp_path / "run")["ap"] == results["student"]["ap"]
    picture = next((tmp_path / "run" / "predictions").glob("*.image.png"))
    pixels = np.asarray(Image.open(picture))
    assert np.array_equal(pixels[..., 0], pixels[..., 2])


def test_depth_is_learnt_of_gray_images(tmp_path: Path) -> None:
    root = make_depth(tmp_path / "data", {"train": 4, "val": 2})
    content = recipe_of(root, 1)
    content["data"]["dataset"] = "depth"
    content["task"] = {"kind": "depth"}
    results = run(parsed(content), tmp_path / "run")
    assert results["student"]["images"] == 2
    assert densekd.load(tmp_path / "run").predict(np.zeros((32, 48), np.uint8)).shape == (32, 48)
