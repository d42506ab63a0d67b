"""Parts of dense heads: the order of rows, the prior of the classifier, boxes of positives, candidates."""

import pytest
import torch
from torch import nn

from densekd.models.detection.dense import (
    Maps,
    candidates,
    classifier,
    flatten_levels,
    matched_boxes,
    permute_and_flatten,
    tower,
    zero_regression_loss,
)
from densekd.models.detection.selection import Selection
from densekd.ops.boxes import Boxes


def test_rows_go_position_by_position_and_anchor_by_anchor() -> None:
    H, W, anchors, width = 2, 3, 2, 4
    x = torch.arange(2 * anchors * width * H * W).view(2, anchors * width, H, W)
    rows = permute_and_flatten(x, width)
    assert rows.shape == (2, H * W * anchors, width)
    # Row 1, column 2, anchor 1 of the second image: channels 4 to 7.
    assert torch.equal(rows[1, (1 * W + 2) * anchors + 1], x[1, 4:8, 1, 2])


def test_levels_follow_each_other_in_float32() -> None:
    levels = [torch.rand(1, 3, 2, 2).half(), torch.rand(1, 3, 1, 1).half()]
    rows = flatten_levels(levels, 3)
    assert rows.dtype == torch.float32
    assert rows.shape == (1, 5, 3)
    assert torch.equal(rows[0, 4], levels[1][0, :, 0, 0].float())


def test_the_classifier_starts_at_the_prior() -> None:
    conv = classifier(8, 5)
    assert conv.bias is not None
    assert conv.bias.sigmoid().tolist() == pytest.approx([0.01] * 5)


def test_towers_share_nothing() -> None:
    blocks = tower(4, 3, lambda channels: nn.Conv2d(channels, channels, 1))
    assert len(blocks) == 3
    assert len({id(block.weight) for block in blocks}) == 3


def test_matched_boxes() -> None:
    boxes = [torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 3]]), torch.tensor([[5.0, 5, 6, 6]])]
    target = Boxes(boxes, [torch.tensor([4, 5]), torch.tensor([6])], torch.zeros(2, 2))
    assigned = torch.tensor([[1, -1, 0], [-1, 0, -2]])
    box, label = matched_boxes(target, assigned, (assigned >= 0).nonzero(as_tuple=True))
    assert label.tolist() == [5, 4, 6]
    assert box[:, 0].tolist() == [1, 0, 5]


def test_candidates_are_the_best_of_every_level() -> None:
    # Two levels of two positions and two classes; only one pair of each level may stay.
    cls = (torch.tensor([[[[2.0, 1.0]], [[0.0, 3.0]]]]), torch.tensor([[[[-1.0, -2.0]], [[-3.0, -9.0]]]]))
    boxes = [torch.tensor([[[0.0, 0, 4, 4], [1, 1, 9, 9]]]), torch.tensor([[[2.0, 2, 3, 3], [0, 0, 1, 1]]])]
    selection = Selection(nms_iou=0.5, score=0.0, per_level=1)
    (found,) = candidates(Maps(cls, cls), 2, boxes, torch.tensor([[8, 8]]), selection)
    torch.testing.assert_close(found.scores, torch.tensor([3.0, -1.0]).sigmoid())
    assert found.labels.tolist() == [1, 0]
    assert found.boxes.tolist() == [[1, 1, 8, 8], [2, 2, 3, 3]]


def test_no_boxes_still_reach_the_regression() -> None:
    reg = torch.rand(1, 4, 2, 2, requires_grad=True)
    loss = zero_regression_loss(Maps((reg,), (reg,)))
    loss.backward()
    assert loss.item() == 0
    assert reg.grad is not None
