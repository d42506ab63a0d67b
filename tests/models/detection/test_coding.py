"""Boxes as distances and as deltas."""

import torch

from densekd.models.detection.coding import (
    clip,
    decode_deltas,
    decode_distances,
    encode_deltas,
    encode_distances,
)
from densekd.ops.boxes import box_centers


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
