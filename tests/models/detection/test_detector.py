"""Every detector: losses, taps, images without boxes, detections inside their image, freezing, sizes."""

import math
from dataclasses import replace

import pytest
import torch
from tiny_detectors import OPTIONS, tiny_detector, two_images, without_boxes
from torch import nn

from densekd.distill.taps import Taps
from densekd.export.detectors import decoding_of
from densekd.models import find_model
from densekd.models.detection.selection import Selection


@pytest.mark.parametrize("name", OPTIONS)
def test_losses_reach_every_weight_and_are_finite(name: str) -> None:
    model, (images, target) = tiny_detector(name).train(), two_images()
    losses = model.losses(model(images), target)
    assert all(value.ndim == 0 and value.isfinite() for value in losses.values())
    torch.stack(list(losses.values())).sum().backward()
    unused = [key for key, weight in model.named_parameters() if weight.grad is None]
    assert unused == []


@pytest.mark.parametrize("name", OPTIONS)
def test_images_without_boxes_teach_background(name: str) -> None:
    model, (images, target) = tiny_detector(name).train(), two_images()
    nothing = without_boxes(target)
    losses = model.losses(model(images), nothing)
    assert losses["cls"] > 0
    assert losses["bbox"] == 0
    torch.stack(list(losses.values())).sum().backward()
    assert [key for key, weight in model.named_parameters() if weight.grad is None] == []


@pytest.mark.parametrize("name", OPTIONS)
def test_detections_lie_in_their_image_best_first(name: str) -> None:
    model, (images, target) = tiny_detector(name).eval(), two_images()
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
def test_most_boxes_are_an_option_that_exports_follow(name: str) -> None:
    images, target = two_images()
    found = []
    for most in (1, 100):
        torch.manual_seed(0)
        model = find_model(name)(3, **OPTIONS[name], most=most).eval()
        model.head.selection = replace(model.head.selection, score=0.0)
        with torch.no_grad():
            found.append(model.detect(model(images), target.sizes))
            assert decoding_of(model, images[:1]).to_json()["most"] == most
    for one, many in zip(*found, strict=True):
        assert len(many.boxes) > 1
        assert torch.equal(one.boxes, many.boxes[:1])


@pytest.mark.parametrize("name", OPTIONS)
def test_taps_of_every_level(name: str) -> None:
    model = tiny_detector(name).eval()
    with torch.no_grad():
        read = Taps(model, list(model.taps))(torch.rand(1, 3, 64, 96))[1]
    strides = (4, 8, 16, 32, 64) if name == "faster_rcnn" else (8, 16, 32, 64, 128)
    for k, stride in enumerate(strides):
        for kind in ("neck", "cls", "reg"):
            assert read[f"{kind}.{k}"].shape[2:] == (math.ceil(64 / stride), math.ceil(96 / stride))
    assert [read[f"features.{k}"].shape[2] for k in range(4)] == [16, 8, 4, 2]


def test_freezing_keeps_stem_first_stage_and_statistics() -> None:
    model = tiny_detector("gfl", freeze=("stem", "stage1")).train()
    frozen = {key.split(".")[1] for key, weight in model.named_parameters() if not weight.requires_grad}
    assert frozen == {"conv1", "bn1", "layer1"}
    assert not any(m.training for m in model.backbone.modules() if isinstance(m, nn.BatchNorm2d))
    assert model.head.training


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
