"""Anchors of two levels, computed by hand."""

import math

import torch

from densekd.ops.anchors import Anchors


def test_order_and_shapes() -> None:
    anchors = Anchors((8, 16), (4.0, 8.0), (0.5, 1.0))([torch.zeros(1, 1, 2, 3), torch.zeros(1, 1, 1, 1)])
    assert [len(level) for level in anchors] == [2 * 3 * 4, 4]
    # Position (row 1, column 2) of the first level, ratio 0.5, scale 8: twice as wide as high.
    wide, high = 64 * math.sqrt(2), 64 / math.sqrt(2)
    expected = torch.tensor([16 - wide / 2, 8 - high / 2, 16 + wide / 2, 8 + high / 2])
    torch.testing.assert_close(anchors[0][(1 * 3 + 2) * 4 + 1], expected)
    torch.testing.assert_close(anchors[1][2], torch.tensor([-32.0, -32, 32, 32]))


def test_half_precision_maps_have_exact_anchors() -> None:
    """bfloat16 knows no odd number above 256."""
    (level,) = Anchors((1,), (2.0,))([torch.zeros(1, 1, 1, 400, dtype=torch.bfloat16)])
    assert level.dtype == torch.float32
    assert level[:, 0].tolist() == list(range(-1, 399))
