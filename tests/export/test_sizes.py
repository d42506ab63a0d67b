"""Which size is exported, and what is said of one that does not fit."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from exported_runs import CLASSES
from tiny_data import make_folder
from torch import Tensor, nn

from densekd.data.folder import folder
from densekd.errors import UserError
from densekd.export.sizes import default_size, module_of_size
from densekd.export.spec import GraphInput
from densekd.models.open import Opened
from densekd.models.package import config_of

CONFIG = config_of("own", {}, CLASSES, "segmentation")


class Halves(nn.Module):
    """A network that goes down by 8 and must come up again exactly."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        small = nn.functional.avg_pool2d(images, 8)
        restored: Tensor = self.conv(images + nn.functional.interpolate(small, scale_factor=8.0))
        return restored


def opened(task: str = "segmentation") -> Opened:
    return Opened(Halves().eval(), CLASSES, replace(CONFIG, task=task))


def test_the_next_size_that_fits_is_said() -> None:
    with pytest.raises(UserError, match=r"cannot take 33x40 .*the next size that it can is --size 40x40"):
        module_of_size(opened(), "logits", GraphInput((33, 40)))


def test_a_model_that_never_fits() -> None:
    model = opened()
    model.model.conv = nn.Conv2d(4, 3, 1)
    with pytest.raises(UserError, match="no near size"):
        module_of_size(model, "logits", GraphInput((32, 32)))


@pytest.mark.parametrize(
    ("evaluation", "resize", "size"),
    [
        ({"crop": [24, 40]}, (16, 16), (24, 40)),
        ({}, (16, 20), (16, 20)),
        ({}, (16,), (16, 21)),
        ({}, None, (49, 67)),
        ({"divisor": 32}, None, (64, 96)),
    ],
)
def test_segmentation(evaluation: dict[str, Any], resize: Any, size: tuple[int, int], tmp_path: Path) -> None:
    files = folder(make_folder(tmp_path, {"val": 1}, size=(49, 67)), "val")
    assert default_size(opened(), evaluation, resize, files) == size


@pytest.mark.parametrize(
    ("limits", "size"), [(None, (64, 96)), ((60, 100), (64, 96)), ((100, 1000), (128, 160)), ((480,), (480, 672))]
)
def test_detection_is_padded_as_its_batches_are(limits: Any, size: tuple[int, int], tmp_path: Path) -> None:
    files = folder(make_folder(tmp_path, {"val": 1}, size=(49, 67)), "val")
    assert default_size(opened("detection"), {}, limits, files) == size


def test_without_data() -> None:
    assert default_size(opened(), {}, None, None) == (512, 512)
    assert default_size(opened(), {}, (300,), None) == (300, 300)
    assert default_size(opened("detection"), {}, (800, 1333), None) == (800, 1344)


def test_pictures_of_noise_are_the_same_ones() -> None:
    taken = GraphInput((4, 5), 2, "uint8")
    assert torch.equal(taken.random(2, 7), taken.random(2, 7))
    assert not torch.equal(taken.random(2, 7), taken.random(2, 8))
    floats = GraphInput((4, 5)).random(1, 7)
    assert torch.equal(taken.of_pictures(floats), (floats * 255).round().to(torch.uint8).permute(0, 2, 3, 1))
