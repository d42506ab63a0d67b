"""Every detector: shapes, taps, odd sizes, images without boxes, tiny boxes, and that it learns."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import box_iou, nms

from densekd.distill.taps import Taps
from densekd.errors import RecipeError
from densekd.models import find_model
from densekd.models.backbones import BACKBONES, make_backbone
from densekd.models.checkpoints.resnets import which_resnet
from densekd.models.detection.box_head import roi_features
from densekd.models.detection.coding import decode_deltas
from densekd.models.detection.dense import Maps, matched_boxes
from densekd.models.detection.gfl import gfl
from densekd.models.detection.retinanet import RetinaHead
from densekd.models.detection.selection import Selection, suppress
from densekd.models.families import find_family
from densekd.ops.boxes import Boxes, Detections
from densekd.registry import construct

OPTIONS: dict[str, dict[str, Any]] = {
    "gfl": {"channels": 32, "depth": 1},
    "retinanet": {"channels": 16, "depth": 1},
    "faster_rcnn": {"channels": 16},
}


def build(name: str, **more: Any) -> Any:
    torch.manual_seed(0)
    return find_model(name)(num_classes=3, backbone="resnet18_025", **OPTIONS[name], **more)


def two_images() -> tuple[Tensor, Boxes]:
    torch.manual_seed(1)
    boxes = [torch.tensor([[4.0, 6, 60, 50], [10, 10, 11, 11]]), torch.zeros(0, 4)]
    labels = [torch.tensor([2, 0]), torch.zeros(0, dtype=torch.int64)]
    return torch.rand(2, 3, 64, 96), Boxes(boxes, labels, torch.tensor([[64, 96], [50, 70]]))


@pytest.mark.parametrize("name", OPTIONS)
def test_losses_reach_every_weight_and_are_finite(name: str) -> None:
    model, (images, target) = build(name).train(), two_images()
    losses = model.losses(model(images), target)
    assert all(value.ndim == 0 and value.isfinite() for value in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    unused = [key for key, weight in model.named_parameters() if weight.grad is None]
    assert unused == []


@pytest.mark.parametrize("name", OPTIONS)
def test_images_without_boxes_teach_background(name: str) -> None:
    model, (images, target) = build(name).train(), two_images()
    nothing = target._replace(boxes=[torch.zeros(0, 4)] * 2, labels=[torch.zeros(0, dtype=torch.int64)] * 2)
    losses = model.losses(model(images), nothing)
    assert losses["cls"] > 0
    assert losses["bbox"] == 0
    torch.stack(list(losses.values())).sum().backward()
    assert [key for key, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("name", OPTIONS)
def test_detections_lie_in_their_image_best_first(name: str) -> None:
    model, (images, target) = build(name).eval(), two_images()
    model.head.selection = Selection(nms_iou=0.5, score=0.0)
    with torch.no_grad():
        found = model.detect(model(images), target.sizes)
    for one, (height, width) in zip(found, target.sizes.tolist(), strict=True):
        assert 0 < len(one.boxes) <= 100
        assert (one.scores.diff() <= 0).all()
        assert (one.boxes >= 0).all()
        assert (one.boxes[:, 2] <= width).all()
        assert (one.boxes[:, 3] <= height).all()
        assert (one.boxes[:, 2:] > one.boxes[:, :2]).all()
        assert set(one.labels.tolist()) <= {0, 1, 2}


@pytest.mark.parametrize("name", OPTIONS)
def test_taps_of_every_level(name: str) -> None:
    model = build(name).eval()
    with torch.no_grad():
        read = Taps(model, list(model.taps))(torch.rand(1, 3, 64, 96))[1]
    strides = (4, 8, 16, 32, 64) if name == "faster_rcnn" else (8, 16, 32, 64, 128)
    for k, stride in enumerate(strides):
        for kind in ("neck", "cls", "reg"):
            assert read[f"{kind}.{k}"].shape[2:] == (math.ceil(64 / stride), math.ceil(96 / stride))
    assert [read[f"features.{k}"].shape[2] for k in range(4)] == [16, 8, 4, 2]


def test_learns_to_find_a_box() -> None:
    torch.manual_seed(0)
    model = gfl(2, "resnet18_025", channels=32, depth=1).train()
    images = torch.full((2, 3, 64, 64), 0.5)
    images[0, :, 8:40, 16:48] = 1.0
    images[1, 0, 20:60, 10:50] = 0.0
    target = Boxes(
        [torch.tensor([[16.0, 8, 48, 40]]), torch.tensor([[10.0, 20, 50, 60]])],
        [torch.tensor([0]), torch.tensor([1])],
        torch.tensor([[64, 64]] * 2),
    )
    optimizer = torch.optim.AdamW(model.parameters(), 0.002)
    for _ in range(60):
        optimizer.zero_grad()
        torch.stack(list(model.losses(model(images), target).values())).sum().backward()
        optimizer.step()
    with torch.no_grad():
        found = model.detect(model(images), target.sizes)
    for k, one in enumerate(found):
        assert one.labels[0] == k
        assert box_iou(one.boxes[:1], target.boxes[k]).item() > 0.7


def test_freezing_keeps_stem_first_stage_and_statistics() -> None:
    model = build("gfl", freeze=("stem", "stage1")).train()
    frozen = {key.split(".")[1] for key, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen == {"conv1", "bn1", "layer1"}
    assert not any(m.training for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d))
    assert model.head.training


def test_retinanet_loss_anchor_by_anchor() -> None:
    torch.manual_seed(0)
    head = RetinaHead(16, 1, 3)
    maps = head([torch.randn(2, 16, n, n) for n in (8, 4, 2, 1, 1)])
    maps = Maps(*(tuple(torch.randn_like(x) for x in kind) for kind in maps))
    boxes = [torch.tensor([[3.0, 5, 40, 45], [20, 20, 60, 58]]), torch.zeros(0, 4)]
    target = Boxes(boxes, [torch.tensor([1, 2]), torch.zeros(0, dtype=torch.int64)], torch.tensor([[64, 64]] * 2))
    anchors = torch.cat(head.anchors(maps.cls))
    focal = distance = 0.0
    count = 0
    for image, truth in enumerate(boxes):
        assigned = head.assign(anchors, truth).tolist()
        count += max(1, sum(number >= 0 for number in assigned))
        at = 0
        for cls, reg in zip(*maps, strict=True):
            H, W = cls.shape[2:]
            for y, x, shape in ((y, x, a) for y in range(H) for x in range(W) for a in range(9)):
                number = assigned[at]
                if number >= 0:
                    box = decode_deltas(anchors[at], reg[image, 4 * shape : 4 * shape + 4, y, x])
                    size = anchors[at, 2:] - anchors[at, :2]
                    other = truth[number]
                    shift = ((other[:2] + other[2:]) - (anchors[at, :2] + anchors[at, 2:])) / 2 / size
                    wanted = torch.cat([shift, ((other[2:] - other[:2]) / size).log()])
                    distance += (reg[image, 4 * shape : 4 * shape + 4, y, x] - wanted).abs().sum().item()
                    assert box.isfinite().all()
                for c in range(3) if number != -2 else ():
                    p = cls[image, 3 * shape + c, y, x].double().sigmoid().item()
                    right = number >= 0 and target.labels[image][number] == c
                    focal -= 0.25 * (1 - p) ** 2 * math.log(p) if right else 0.75 * p**2 * math.log(1 - p)
                at += 1
        assert at == len(anchors)
    losses = head.losses(maps, target)
    assert count > 2
    torch.testing.assert_close(losses["cls"].item(), focal / count, rtol=1e-5, atol=0)
    torch.testing.assert_close(losses["bbox"].item(), distance / count, rtol=1e-5, atol=0)


def test_two_stage_losses_are_divided_by_what_was_drawn() -> None:
    model, (images, target) = build("faster_rcnn").eval(), two_images()
    nothing = target._replace(boxes=[torch.zeros(0, 4)] * 2, labels=[torch.zeros(0, dtype=torch.int64)] * 2)
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


def test_regions_come_from_the_level_of_their_size() -> None:
    levels = tuple(torch.full((1, 1, 64 >> k, 64 >> k), float(k)) for k in range(5))
    sides = torch.tensor([20.0, 111.0, 113.0, 230.0, 255.0])
    boxes = torch.stack([torch.zeros(5), torch.zeros(5), sides, sides], 1)
    read = roi_features(levels, [boxes])
    assert read.shape == (5, 1, 7, 7)
    assert read.mean((1, 2, 3)).tolist() == [0, 0, 1, 2, 2]
    assert roi_features(levels, [torch.zeros(0, 4)]).shape == (0, 1, 7, 7)


def test_suppression_is_within_classes() -> None:
    torch.manual_seed(0)
    corner = torch.rand(60, 2) * 20
    boxes = torch.cat([corner, corner + 5 + torch.rand(60, 2) * 10], 1)
    found = Detections(boxes, torch.rand(60), torch.randint(3, (60,)))
    kept = suppress(found, Selection(nms_iou=0.4, most=1000))
    expected = set()
    for label in range(3):
        own = (found.labels == label).nonzero()[:, 0]
        expected |= set(own[nms(boxes[own], found.scores[own], 0.4)].tolist())
    assert {found.scores.tolist().index(score) for score in kept.scores.tolist()} == expected
    flat = Detections(torch.tensor([[1.0, 1, 1, 5]]), torch.ones(1), torch.zeros(1, dtype=torch.int64))
    assert len(suppress(flat, Selection(0.5)).boxes) == 0


def test_matched_and_paired() -> None:
    boxes = [torch.tensor([[0.0, 0, 2, 2], [1, 1, 3, 3]]), torch.tensor([[5.0, 5, 6, 6]])]
    target = Boxes(boxes, [torch.tensor([4, 5]), torch.tensor([6])], torch.zeros(2, 2))
    box, label = matched_boxes(target, torch.tensor([[1, -1, 0], [-1, 0, -2]]))
    assert label.tolist() == [5, 4, 6]
    assert box[:, 0].tolist() == [1, 0, 5]


def test_wrong_width_is_refused_by_name() -> None:
    with pytest.raises(RecipeError, match="multiple of 8"):
        construct(find_model("gfl"), {"channels": 42}, {"num_classes": 3}, "student")


@pytest.mark.parametrize(
    ("name", "backbone", "millions"),
    [
        ("gfl", "resnet101", 51.43),
        ("gfl", "resnet50", 32.44),
        ("retinanet", "resnet50", 37.97),
        ("faster_rcnn", "resnet50", 41.75),
    ],
)
def test_parameters_are_the_published_ones(name: str, backbone: str, millions: float) -> None:
    with torch.device("meta"):
        model = find_model(name)(num_classes=80, backbone=backbone)
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize("name", [name for name in BACKBONES if name.startswith("resne") and "_0" not in name])
def test_resnets_are_told_apart_by_their_shapes(name: str) -> None:
    with torch.device("meta"):
        state = make_backbone(name, find_family("mmseg_b"), 32).module.state_dict()
    assert which_resnet({f"backbone.{key}": value for key, value in state.items()}, r"backbone\.") == name
    assert which_resnet(state, r"other\.") is None
