"""``densekd.evaluate``: models from anywhere, on data from anywhere."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import densekd
from densekd.api.train import Training
from densekd.data.folder import folder
from densekd.errors import UserError


def batches(root: Path) -> list[Any]:
    files = folder(root, "val")
    found = []
    for index in range(len(files)):
        image, label = (torch.from_numpy(array) for array in files.pair(index))
        found.append((image.permute(2, 0, 1)[None], label[None]))
    return found


def test_the_runs_own_data(training: Training) -> None:
    scores = densekd.evaluate(training.run)
    assert scores["miou"] == training.results["student"]["miou"]
    assert scores["split"] == "val"


def test_a_folder_and_batches_agree(training: Training, data_root: Path) -> None:
    on_folder = densekd.evaluate(str(training.run), data_root, split="val")
    on_batches = densekd.evaluate(training.run, batches(data_root))
    loaded = densekd.load(training.run).train()
    on_module = densekd.evaluate(loaded, batches(data_root))
    assert on_folder["miou"] == on_batches["miou"] == on_module["miou"] == training.results["student"]["miou"]
    # The mode comes back.
    assert loaded.training


def test_a_loaded_model_is_scored_by_its_own_task(tmp_path: Path) -> None:
    from densekd.models import MODELS
    from densekd.models.package import PackageConfig, save_package

    options = {"backbone": "resnet18_025", "channels": 16}
    config = PackageConfig("fpn", options, ["depth"], [[0, 0, 0]], task="depth")
    save_package(MODELS["fpn"](1, **options), config, tmp_path)
    data = [(torch.rand(2, 3, 32, 32), 1 + torch.rand(2, 32, 32))]
    for model in (tmp_path, densekd.load(tmp_path)):
        assert densekd.evaluate(model, data)["absrel"] > 0
    assert densekd.load(tmp_path).predict(data[0][0][0]).dtype == "float32"


class Brightest(nn.Module):
    """Labels every pixel right when labels are brightest channels."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images


def test_any_module_on_any_batches() -> None:
    images = torch.rand(4, 3, 8, 8)
    labels = images.argmax(1)
    labels[0] = 255
    scores = densekd.evaluate(Brightest(), [{"images": images, "target": labels}])
    assert scores["miou"] == 100
    wrong = densekd.evaluate(Brightest(), [(images, (labels + 1).remainder(3).where(labels < 3, 255))])
    assert wrong["miou"] == 0


def test_what_cannot_be_scored(training: Training, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="A module is scored on batches"):
        densekd.evaluate(Brightest(), tmp_path)
    with pytest.raises(UserError, match="The data gave no batch"):
        densekd.evaluate(Brightest(), [])
    with pytest.raises(UserError, match="needs labels"):
        densekd.evaluate(training.run, [torch.rand(1, 3, 8, 8)])
