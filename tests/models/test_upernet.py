"""UPerNet: strides of the families, auxiliary widths, names."""

from typing import Any

import pytest
import torch

from densekd.distill.taps import Taps
from densekd.errors import RecipeError
from densekd.models.upernet import upernet


@pytest.mark.parametrize(
    ("family", "strides"),
    [("mmseg", [4, 8, 16, 32, 4]), ("cirkd", [4, 8, 8, 8, 8])],
)
def test_strides(family: str, strides: list[int]) -> None:
    model = upernet(3, "resnet18_025", family, channels=8).eval()
    paths = [*(f"features.{k}" for k in range(4)), "logits"]
    with torch.no_grad():
        _, read = Taps(model, paths)(torch.rand(1, 3, 64, 64))
    assert [round(64 / read[path].shape[2]) for path in paths] == strides


@pytest.mark.parametrize(
    ("options", "width"),
    [
        ({}, 256),
        ({"backbone": "resnet18"}, 64),
        ({"auxiliary_channels": 12}, 12),
        ({"auxiliary_channels": 0}, None),
    ],
)
def test_auxiliary_head(options: dict[str, Any], width: int | None) -> None:
    with torch.device("meta"):
        model = upernet(3, channels=8, **options)
    if width is None:
        assert model.auxiliary is None
    else:
        assert model.auxiliary.get_submodule("classifier").in_channels == width  # type: ignore[union-attr]


def test_unknown_backbone() -> None:
    with pytest.raises(RecipeError, match="Unknown backbone 'swin_small2'"):
        upernet(3, "swin_small2")
