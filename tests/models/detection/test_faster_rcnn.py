"""Faster R-CNN: the losses of both stages."""

import torch
import torch.nn.functional as F
from tiny_detectors import tiny_detector, two_images, without_boxes

from densekd.models.detection.faster_rcnn import ProposalOutput


def test_two_stage_losses_are_divided_by_what_was_drawn() -> None:
    model, (images, target) = tiny_detector("faster_rcnn").eval(), two_images()
    nothing = without_boxes(target)
    with torch.no_grad():
        output = model(images)
        torch.manual_seed(3)
        losses = model.losses(output, nothing)
        # All that is drawn is background, so the proposals' loss is the mean of softplus over 256 anchors an image.
        every = torch.cat([x.permute(0, 2, 3, 1).reshape(2, -1) for x in output.cls], 1)
        assert len(every[0]) > 256
        torch.manual_seed(3)
        drawn = []
        for row in every:
            torch.randperm(0)
            drawn.append(row[torch.randperm(len(row))[:256]])
        torch.testing.assert_close(losses["rpn_cls"], F.softplus(torch.cat(drawn)).mean())
    assert losses["rpn_bbox"] == 0


def test_proposals_whose_scores_are_one_have_the_order_of_their_logits() -> None:
    model = tiny_detector("faster_rcnn").eval()
    size = torch.tensor([[128, 128]])
    cls, reg = [], []
    for level in range(5):
        side = 32 >> level
        cls.append(torch.linspace(50, 90, 3 * side * side).reshape(1, 3, side, side))
        reg.append(torch.zeros(1, 12, side, side))
    output = ProposalOutput((), tuple(cls), tuple(reg))
    # Sigmoids of these are exactly 1: their order would be that of the anchors.
    assert all(bool((x.sigmoid() == 1).all()) for x in cls)
    (found,) = model.head.propose(output, size, per_level=1)
    # The largest logits are those of the last anchor of each level, at the last corner.
    assert len(found) > 0
    assert bool((found[:, 2:] == 128).all())
