"""``densekd.load`` and ``densekd.predict``: a plain module that labels pictures at their own size."""

import copy
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import densekd
from densekd.api.train import Training
from densekd.data.files import read_image
from densekd.errors import UserError
from densekd.models import MODELS
from densekd.models.open import open_model
from densekd.models.package import PackageConfig, save_package
from densekd.ops.boxes import Detections


@pytest.fixture
def picture(data_root: Path) -> Path:
    return data_root / "images" / "val" / "000.png"


@pytest.mark.parametrize("place", [".", "student", "checkpoints/last.ckpt", "student/model.safetensors"])
def test_every_place_of_a_run(training: Training, place: str, picture: Path) -> None:
    if place.endswith("safetensors"):
        pytest.skip("plain weights do not say what they are")
    model = densekd.load(training.run / place)
    assert np.array_equal(model.predict(picture), densekd.load(training.run).predict(picture))


def test_a_plain_module_with_names_of_classes(training: Training) -> None:
    model = densekd.load(str(training.run))
    plain = open_model(training.run).model
    assert type(model) is type(plain)
    assert not model.training
    assert list(model.state_dict()) == list(plain.state_dict())
    assert [name for name, _ in model.named_modules()] == [name for name, _ in plain.named_modules()]
    assert model.classes == ("class0", "class1", "class2")
    assert len(model.palette) == 3
    assert all(len(color) == 3 for color in model.palette)


def test_labels_at_the_pictures_size(training: Training, picture: Path) -> None:
    model = densekd.load(training.run)
    label = model.predict(picture)
    assert label.shape == (32, 48)
    assert label.dtype == np.uint8
    # The logits, resized to the picture, by hand.
    image = torch.from_numpy(read_image(picture)).permute(2, 0, 1)
    with torch.no_grad():
        logits = model(image[None].float() / 255)
    resized = nn.functional.interpolate(logits, (32, 48), mode="bilinear", align_corners=model.align_corners)
    assert (label == resized.argmax(1)[0].numpy()).mean() > 0.999
    for source in (str(picture), Image.open(picture), read_image(picture), image, image / 255):
        assert np.array_equal(model.predict(source), label)
    several = model.predict([picture, image])
    assert len(several) == 2
    assert all(np.array_equal(one, label) for one in several)
    assert np.array_equal(densekd.predict(training.run, picture), label)
    assert np.array_equal(densekd.predict(model, picture), label)


def test_copies_predict_by_their_own_weights(training: Training, picture: Path) -> None:
    model = densekd.load(training.run)
    label = model.predict(picture)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert np.array_equal(other.predict(picture), label)
        with torch.no_grad():
            other.get_submodule("head.classifier").bias.copy_(torch.tensor([0.0, 0.0, 1e6]))
        assert (other.predict(picture) == 2).all()
    assert np.array_equal(model.predict(picture), label)


def test_a_detector_finds_boxes_in_the_pictures_pixels(tmp_path: Path) -> None:
    model = MODELS["gfl"](2, backbone="resnet18_025", channels=16, depth=1)
    options = {"backbone": "resnet18_025", "channels": 16, "depth": 1}
    config = PackageConfig("gfl", options, ["a", "b"], [[1, 2, 3], [4, 5, 6]], resize=(32, 64), task="detection")
    save_package(model, config, tmp_path)
    loaded = densekd.load(tmp_path)
    found = loaded.predict(np.full((100, 200, 3), 120, np.uint8))
    assert isinstance(found, Detections)
    assert found.boxes.shape[1:] == (4,)
    assert loaded.classes == ("a", "b")
    assert loaded.palette == ((1, 2, 3), (4, 5, 6))


class Logits(nn.Module):
    """A module of the user's: the class is the brightest color, at half the size."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return nn.functional.avg_pool2d(images, 2)


def test_any_module_predicts() -> None:
    image = np.zeros((8, 12, 3), np.uint8)
    image[:, :6, 1] = image[:, 6:, 2] = 255
    label = densekd.predict(Logits(), image)
    assert label.shape == (8, 12)
    assert set(label[:, :5].ravel()) == {1}
    assert set(label[:, 7:].ravel()) == {2}
    with pytest.raises(UserError, match="Tuple returns no logits"):
        densekd.predict(Tuple(), image)


class Tuple(nn.Module):
    """A module without logits."""

    def forward(self, images: torch.Tensor) -> Any:
        return (images,)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UserError):
        densekd.load(tmp_path)
