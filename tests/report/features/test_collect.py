"""Collecting features: which pixels, at which class, through which tap."""

import pytest
import torch
from torch import Tensor, nn

from densekd.errors import RecipeError, UserError
from densekd.models import MODELS
from densekd.report.features.collect import (
    FeatureOptions,
    choose_pixels,
    collect,
    require_groups,
    usual_tap,
)
from densekd.tasks.pixel_groups import NO_GROUP, PixelGroups


class Quarter(nn.Module):
    """Every fourth pixel of an image, times a factor that training mode doubles; a head on it."""

    def __init__(self) -> None:
        super().__init__()
        self.pick = nn.MaxPool2d(1, stride=4)
        self.head = nn.Conv2d(3, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        picked: Tensor = self.pick(images)
        logits: Tensor = self.head(picked)
        return logits


def planted(count: int) -> PixelGroups:
    """Return images whose red is 200 where the class is 1 and 100 where it is 0; the last rows are void."""
    groups = torch.zeros(16, 16, dtype=torch.int64)
    groups[:, 8:] = 1
    groups[12:] = NO_GROUP
    image = torch.zeros(3, 16, 16, dtype=torch.uint8)
    image[0] = torch.where(groups == 1, 200, torch.where(groups == 0, 100, 7)).to(torch.uint8)
    names, colors = ("road", "car"), ((1, 2, 3), (4, 5, 6))
    return PixelGroups(names, colors, (image,) * count, (groups,) * count, tuple(map(str, range(count))))


def test_features_and_classes_belong_together() -> None:
    found = collect(Quarter(), planted(3), "pick", FeatureOptions(pixels=5))
    assert found.features.shape == (10, 3)
    assert torch.bincount(found.groups).tolist() == [5, 5]
    expected = torch.tensor([100.0, 200.0])[found.groups] / 255
    torch.testing.assert_close(found.features[:, 0], expected)
    # Whole maps of two images, and their logits.
    assert [tuple(one.shape) for one in found.maps] == [(3, 4, 4)] * 2
    assert [tuple(one.shape) for one in found.logits] == [(2, 4, 4)] * 2


def test_no_more_pixels_than_there_are() -> None:
    found = collect(Quarter(), planted(1), "pick", FeatureOptions(pixels=100))
    assert torch.bincount(found.groups).tolist() == [6, 6]


def test_maps_of_one_size_are_asked_for_the_same_pixels() -> None:
    torch.manual_seed(0)
    images = tuple(torch.randint(256, (3, 16, 16), dtype=torch.uint8) for _ in range(2))
    pixels = planted(2)
    pixels = PixelGroups(pixels.names, pixels.colors, images, pixels.groups, pixels.stems)
    first = collect(Quarter(), pixels, "pick", FeatureOptions(pixels=3))
    second = collect(Quarter(), pixels, "pick", FeatureOptions(pixels=3))
    assert torch.equal(first.features, second.features)
    other = collect(Quarter(), pixels, "pick", FeatureOptions(pixels=3, seed=1))
    assert not torch.equal(first.features, other.features)


def test_chosen_pixels_are_spread_and_counted() -> None:
    groups = torch.tensor([0] * 50 + [NO_GROUP] * 50 + [1] * 2)
    chosen = choose_pixels(groups, 3, 10, torch.Generator().manual_seed(0))
    assert torch.bincount(groups[chosen]).tolist() == [10, 2]
    assert chosen.max() == 101
    assert chosen[:10].max() > 20


def test_the_model_is_left_as_it_was() -> None:
    model = MODELS["fpn"](2, backbone="resnet18_025", channels=16).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pixels = planted(1)
    large = tuple(image.repeat(1, 4, 4) for image in pixels.images)
    groups = tuple(one.repeat(4, 4) for one in pixels.groups)
    pixels = PixelGroups(pixels.names, pixels.colors, large, groups, pixels.stems)
    collect(model, pixels, "pre_logits", FeatureOptions())
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_usual_taps() -> None:
    assert usual_tap(MODELS["fpn"](2, backbone="resnet18_025"), None) == "pre_logits"
    assert usual_tap(MODELS["gfl"](2, backbone="resnet18_025", channels=16), None) == "neck.0"
    assert usual_tap(Quarter(), "pick") == "pick"
    with pytest.raises(UserError, match="--tap MODULE"):
        usual_tap(Quarter(), None)


def test_taps_that_are_no_map_are_refused() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())
    with pytest.raises(UserError, match=r"a map .B, C, h, w. is needed"):
        collect(model, planted(1), "1", FeatureOptions())
    with pytest.raises(RecipeError, match="no module 'pock'"):
        collect(Quarter(), planted(1), "pock", FeatureOptions())


def test_images_without_labels_are_refused() -> None:
    pixels = planted(1)
    require_groups(pixels)
    void = tuple(torch.full_like(one, NO_GROUP) for one in pixels.groups)
    with pytest.raises(UserError, match="--data"):
        require_groups(PixelGroups(pixels.names, pixels.colors, pixels.images, void, pixels.stems))
