"""Faster R-CNN: the losses of both stages."""

import pytest
import torch
import torch.nn.functional as F
from tiny_detectors import tiny_detector, two_images, without_boxes

from densekd.models.detection.assignment import BACKGROUND, random_sample
from densekd.models.detection.box_head import roi_features
from densekd.models.detection.coding import encode_deltas
from densekd.models.detection.faster_rcnn import ProposalOutput, _suppressed


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
            drawn.append(row[random_sample(torch.full((len(row),), BACKGROUND), 256, 0.5).number])
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


def test_losses_are_those_of_what_was_drawn_one_by_one() -> None:
    model, (images, target) = tiny_detector("faster_rcnn").eval(), two_images()
    head = model.head
    with torch.no_grad():
        output = model(images)
        torch.manual_seed(3)
        losses = model.losses(output, target)
        # The same draws: first of the anchors of each image, then of its proposals.
        torch.manual_seed(3)
        proposals = head.propose(output, target.sizes, 2000)
        anchors = torch.cat(head.anchors(output.cls))
        cls = torch.cat([x.permute(0, 2, 3, 1).reshape(2, -1) for x in output.cls], 1)
        reg = torch.cat([x.permute(0, 2, 3, 1).reshape(2, -1, 4) for x in output.reg], 1)
        entropy, distance, count, positives = 0.0, 0.0, 0, 0
        for image, boxes in enumerate(target.boxes):
            assigned = head.assign_anchors(anchors, boxes)
            index, counted, _ = random_sample(assigned, 256, 0.5)
            for anchor in index[counted].tolist():
                number = int(assigned[anchor])
                count += 1
                # Cross-entropy of a sigmoid: softplus of the logit, negative where it is an object.
                logit = cls[image, anchor]
                entropy += float(F.softplus(-logit if number >= 0 else logit))
                if number >= 0:
                    positives += 1
                    wanted = encode_deltas(anchors[anchor, None], boxes[number, None])[0]
                    distance += float((reg[image, anchor] - wanted).abs().sum())
        assert 0 < positives < count
        assert float(losses["rpn_cls"]) == pytest.approx(entropy / count, rel=1e-5)
        assert float(losses["rpn_bbox"]) == pytest.approx(distance / count, rel=1e-5)
        entropy, distance, count, positives = 0.0, 0.0, 0, 0
        for image, (boxes, truth) in enumerate(zip(proposals, target.boxes, strict=True)):
            boxes = torch.cat([truth, boxes])
            assigned = head.assign_proposals(boxes, truth)
            index, counted, _ = random_sample(assigned, 512, 0.25)
            for place in index[counted].tolist():
                number = int(assigned[place])
                count += 1
                regions = [boxes[place, None] if image == other else boxes[:0] for other in range(2)]
                logits, deltas = head.box(roi_features(output.levels, regions))
                label = int(target.labels[image][number]) if number >= 0 else head.num_classes
                entropy -= float(logits[0].log_softmax(0)[label])
                if number >= 0:
                    positives += 1
                    wanted = encode_deltas(boxes[place, None], truth[number, None])[0]
                    wanted = wanted / torch.tensor([0.1, 0.1, 0.2, 0.2])
                    distance += float((deltas[0, label] - wanted).abs().sum())
        assert 0 < positives < count
        assert float(losses["cls"]) == pytest.approx(entropy / count, rel=1e-5)
        assert float(losses["bbox"]) == pytest.approx(distance / count, rel=1e-5)


def test_levels_that_are_suppressed_at_once_remain_the_same() -> None:
    torch.manual_seed(0)
    corner = torch.randint(200, (400, 2))
    boxes = torch.cat([corner, corner + torch.randint(1, 60, (400, 2))], 1).float()
    scores, levels = torch.rand(400), torch.randint(5, (400,))
    by_level = _suppressed(boxes, scores, levels)
    assert 0 < len(by_level) < 400
    assert torch.equal(_suppressed(boxes, scores, levels, at_once=True), by_level)
