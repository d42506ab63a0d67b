"""Which size is exported, and what is said of one that does not fit."""

import pytest
import torch
from exported_runs import CLASSES
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.export.sizes import module_of_size
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


def opened() -> Opened:
    return Opened(Halves().eval(), CLASSES, CONFIG)


def test_the_next_size_that_fits_is_said() -> None:
    with pytest.raises(UserError, match=r"cannot take 33x40 .*the next size that it can is --size 40x40"):
        module_of_size(opened(), "logits", GraphInput((33, 40)))


def test_a_model_that_never_fits() -> None:
    model = opened()
    model.model.conv = nn.Conv2d(4, 3, 1)
    with pytest.raises(UserError, match="no near size"):
        module_of_size(model, "logits", GraphInput((32, 32)))


def test_pictures_of_noise_are_the_same_ones() -> None:
    taken = GraphInput((4, 5), 2, "uint8")
    assert torch.equal(taken.random(2, 7), taken.random(2, 7))
    assert not torch.equal(taken.random(2, 7), taken.random(2, 8))
    floats = GraphInput((4, 5)).random(1, 7)
    assert torch.equal(taken.of_pictures(floats), (floats * 255).round().to(torch.uint8).permute(0, 2, 3, 1))
