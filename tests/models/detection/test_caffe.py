"""Detectors in Caffe's convention: BGR pixels without their mean, and the stride in the first convolution."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.models import MODELS
from densekd.models.families import CAFFE_OPENMMLAB, IMAGENET

MEAN = torch.tensor([103.53, 116.28, 123.675])


def randomized(model: Any) -> Any:
    """Give batch norms statistics that differ, so that nothing cancels."""
    generator = torch.Generator().manual_seed(3)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(0.1 * torch.randn(buffer.shape, generator=generator))
        elif name.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return model.eval()


def detector(name: str, **options: Any) -> Any:
    torch.manual_seed(0)
    return randomized(MODELS[name](3, backbone="resnet50", channels=16, **options))


def norm(x: Tensor, block: Any, number: int) -> Tensor:
    bn = block.get_submodule(f"bn{number}")
    return F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias)


def caffe_resnet(backbone: Any, pixels: Tensor) -> list[Tensor]:
    """ResNet-50 of Caffe, written out: the 1x1 convolution at the door of a stage has the stride."""
    x = norm(F.conv2d(pixels, backbone.conv1.weight, stride=2, padding=3), backbone, 1).relu()
    x = F.max_pool2d(x, 3, 2, 1)
    maps = []
    for number in range(1, 5):
        for index, block in enumerate(backbone.get_submodule(f"layer{number}").children()):
            stride = 2 if index == 0 and number > 1 else 1
            y = norm(F.conv2d(x, block.conv1.weight, stride=stride), block, 1).relu()
            y = norm(F.conv2d(y, block.conv2.weight, padding=1), block, 2).relu()
            y = norm(F.conv2d(y, block.conv3.weight), block, 3)
            if block.downsample is not None:
                conv, bn = block.downsample
                x = F.conv2d(x, conv.weight, stride=stride)
                x = F.batch_norm(x, bn.running_mean, bn.running_var, bn.weight, bn.bias)
            x = (x + y).relu()
        maps.append(x)
    return maps


@pytest.mark.parametrize("name", ["gfl", "retinanet", "faster_rcnn"])
def test_equals_bgr_pixels_without_mean_through_the_same_weights(name: str) -> None:
    model = detector(name, family="mmdet_caffe")
    images = torch.rand(2, 3, 64, 96)
    pixels = 255 * images[:, [2, 1, 0]] - MEAN.view(1, 3, 1, 1)
    with torch.no_grad():
        torch.testing.assert_close(model.normalize(images), pixels, rtol=0, atol=1e-4)
        maps = caffe_resnet(model.backbone, pixels)
        for ours, theirs in zip(model.backbone(model.normalize(images)), maps, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())
        expected = model.head(model.neck(maps[-len(model.neck.lateral) :]))
        found = model(images)
    for ours, theirs in zip(found.cls, expected.cls, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 * theirs.abs().max().item())


def test_the_two_families_have_one_set_of_weights_and_other_numbers() -> None:
    plain, caffe = detector("gfl"), detector("gfl", family="mmdet_caffe")
    assert (plain.convention, caffe.convention) == (IMAGENET, CAFFE_OPENMMLAB)
    shapes = [{key: value.shape for key, value in model.state_dict().items()} for model in (plain, caffe)]
    assert shapes[0] == shapes[1]
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert not torch.allclose(plain(images).cls[0], caffe(images).cls[0], atol=1e-3)


def test_basic_blocks_have_no_other_stride() -> None:
    options = {"backbone": "resnet18_025", "channels": 16}
    strides = []
    for family in ("mmdet", "mmdet_caffe"):
        model = MODELS["gfl"](3, family=family, **options)
        convolutions = [m for m in model.backbone.modules() if isinstance(m, torch.nn.Conv2d)]
        strides.append([conv.stride for conv in convolutions])
    assert strides[0] == strides[1]
