"""Anchors, and boxes as distances and as deltas."""

import math

import torch

from densekd.models.detection.coding import (
    clip,
    decode_deltas,
    decode_distances,
    encode_deltas,
    encode_distances,
)
from densekd.ops.anchors import Anchors
from densekd.ops.boxes import box_centers


def test_order_and_shapes() -> None:
    anchors = Anchors((8, 16), (4.0, 8.0), (0.5, 1.0))([torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 1, 1)])
    assert [len(level) for level in anchors] == [2 * 3 * 4, 4]
    # Position (row 1, column 2) of the first level, ratio 0.5, scale 8: twice as wide as high.
    wide, high = 64 * math.sqrt(2), 64 / math.sqrt(2)
    expected = torch.tensor([16 - wide / 2, 8 - high / 2, 16 + wide / 2, 8 + high / 2])
    torch.testing.assert_close(anchors[0][(1 * 3 + 2) * 4 + 1], expected)
    torch.testing.assert_close(anchors[1][2], torch.tensor([-32.0, -32, 32, 32]))


def test_codings_are_inverse() -> None:
    torch.manual_seed(0)
    anchors = torch.rand(20, 4) * 10
    anchors[:, 2:] += anchors[:, :2] + 1
    boxes = anchors + torch.rand(20, 4) - 0.5
    torch.testing.assert_close(decode_deltas(anchors, encode_deltas(anchors, boxes)), boxes)
    points = box_centers(anchors)
    torch.testing.assert_close(decode_distances(points, encode_distances(points, boxes)), boxes)


def test_deltas_cannot_overflow() -> None:
    anchor = torch.tensor([[0.0, 0, 16, 16]])
    box = decode_deltas(anchor, torch.tensor([[0.0, 0, 500, -500]]))
    torch.testing.assert_close(box[0, 2] - box[0, 0], torch.tensor(1000.0))
    torch.testing.assert_close(box[0, 3] - box[0, 1], torch.tensor(0.256))


def test_clip() -> None:
    boxes = torch.tensor([[-5.0, 2, 30, 40]])
    assert clip(boxes, torch.tensor([20, 25])).tolist() == [[0, 2, 25, 20]]
