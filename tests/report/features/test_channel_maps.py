"""Channel maps: softmax over positions, and which channels are drawn."""

import numpy as np
import torch

from densekd.report.features.channel_maps import (
    Channel,
    channel_map,
    logit_channels,
    map_picture,
    varied_channels,
)
from densekd.tasks.pixel_groups import PixelGroups


def grouped(groups: torch.Tensor, names: tuple[str, ...]) -> PixelGroups:
    image = torch.zeros(3, *groups.shape, dtype=torch.uint8)
    return PixelGroups(names, ((0, 0, 0),) * len(names), (image,), (groups,), ("a",))


def test_a_map_is_the_softmax_over_positions() -> None:
    features = torch.randn(3, 4, 5)
    softmax = (features[1] / 4).flatten().softmax(0).view(4, 5)
    torch.testing.assert_close(channel_map(features, 1), softmax / softmax.max())


def test_a_picture_goes_from_dark_to_bright() -> None:
    pixels = np.asarray(map_picture(torch.tensor([[0.2, 0.6, 1.0]])))
    assert pixels[0, 0].tolist() == [0, 0, 4]
    assert pixels[0, 2].tolist() == [252, 255, 164]
    assert pixels[0, 0].sum() < pixels[0, 1].sum() < pixels[0, 2].sum()
    assert np.asarray(map_picture(torch.ones(2, 2))).max() == 4


def test_logits_show_the_classes_with_most_pixels() -> None:
    groups = torch.tensor([[0, 2, 2, 2], [3, 3, -1, -1], [-1, -1, -1, -1], [4, 4, 4, 4]])
    pixels = grouped(groups, ("a", "b", "c", "d", "e"))
    chosen = logit_channels(pixels, 0, torch.zeros(5, 4, 4))
    assert chosen == [Channel(4, "e"), Channel(2, "c"), Channel(3, "d")]
    # A class without a pixel is not drawn; one map is the output; other channels are no classes.
    assert logit_channels(grouped(groups * 0, ("a", "b")), 0, torch.zeros(2, 4, 4)) == [Channel(0, "a")]
    assert logit_channels(pixels, 0, torch.zeros(1, 4, 4)) == [Channel(0, "output")]
    assert logit_channels(pixels, 0, torch.zeros(7, 4, 4)) == []


def test_features_show_the_channels_that_vary_most() -> None:
    features = torch.ones(4, 2, 2)
    features[2, 0, 0] = 9
    features[1, 0, 0] = -2
    assert [channel.number for channel in varied_channels(features)][:2] == [2, 1]
