"""Features of regions: the level that each box is read from."""

import torch

from densekd.models.detection.box_head import roi_features


def test_regions_come_from_the_level_of_their_size() -> None:
    levels = tuple(torch.full((1, 1, 64 >> k, 64 >> k), float(k)) for k in range(5))
    sides = torch.tensor([20.0, 111.0, 113.0, 230.0, 255.0])
    boxes = torch.stack([torch.zeros(5), torch.zeros(5), sides, sides], 1)
    read = roi_features(levels, [boxes])
    assert read.shape == (5, 1, 7, 7)
    assert read.mean((1, 2, 3)).tolist() == [0, 0, 1, 2, 2]
    assert roi_features(levels, [torch.zeros(0, 4)]).shape == (0, 1, 7, 7)
