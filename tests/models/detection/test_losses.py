"""Focal losses of quality and distributions, one entry at a time."""

import math

import torch

from densekd.models.detection.losses import distribution_focal, quality_focal


def test_quality_focal() -> None:
    torch.manual_seed(0)
    logits, quality = torch.randn(5, 3, dtype=torch.float64), torch.zeros(5, 3, dtype=torch.float64)
    quality[1, 2], quality[3, 0] = 0.7, 0.2
    expected = 0.0
    for logit, wanted in zip(logits.flatten().tolist(), quality.flatten().tolist(), strict=True):
        p = 1 / (1 + math.exp(-logit))
        expected -= abs(wanted - p) ** 2 * (wanted * math.log(p) + (1 - wanted) * math.log(1 - p))
    torch.testing.assert_close(quality_focal(logits, quality).item(), expected)


def test_distribution_focal() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 17, dtype=torch.float64)
    distances = torch.tensor([[0.0, 0.25, 3.0, 15.9], [7.5, 1.0, 12.1, 2.2]], dtype=torch.float64)
    found = distribution_focal(logits, distances)
    for place in ((i, j) for i in range(2) for j in range(4)):
        share, distance = logits[place].softmax(0), distances[place].item()
        below = math.floor(distance)
        left, right = math.log(share[below]), math.log(share[below + 1])
        torch.testing.assert_close(found[place].item(), -(below + 1 - distance) * left - (distance - below) * right)
