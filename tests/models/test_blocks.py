"""Blocks: normalization against arithmetic written out, pyramid pooling against pooling written out."""

from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.models.blocks import Normalize, PyramidPooling, average_cells, conv_norm_act
from densekd.models.dilated import pspnet
from densekd.models.families import CAFFE, IMAGENET, Convention

RED, GREEN, BLUE = 200 / 255, 100 / 255, 50 / 255
IMAGE = torch.tensor([RED, GREEN, BLUE]).view(1, 3, 1, 1)


def values(convention: Convention, images: Tensor = IMAGE) -> list[float]:
    return Normalize(convention)(images).flatten().tolist()


def test_rgb_mean_and_std() -> None:
    literal = [(200 - 123.675) / 58.395, (100 - 116.28) / 57.12, (50 - 103.53) / 57.375]
    assert values(IMAGENET) == pytest.approx(literal, rel=1e-5)


def test_bgr_mean_only() -> None:
    literal = [50 - 104.00698793, 100 - 116.66876762, 200 - 122.67891434]
    assert values(CAFFE) == pytest.approx(literal, rel=1e-5)


def test_mean_and_std_are_in_the_order_of_the_network() -> None:
    convention = Convention("bgr", (0.1, 0.2, 0.3), (1.0, 2.0, 4.0))
    assert values(convention) == pytest.approx([BLUE - 0.1, (GREEN - 0.2) / 2, (RED - 0.3) / 4], rel=1e-5)


def test_one_batch_serves_both_conventions() -> None:
    """A mean-only BGR model and an RGB one read the same images, and neither changes them."""
    images = torch.rand(2, 3, 64, 64)
    before = images.clone()
    models = [pspnet(3, "resnet18_025", family, auxiliary_channels=0).eval() for family in ("cirkd", "mmseg")]
    seen: list[Tensor] = []
    for model in models:
        model.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        model(images)
    assert torch.equal(images, before)
    bgr = 255 * images.flip(1) - torch.tensor([104.00698793, 116.66876762, 122.67891434]).view(3, 1, 1)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    torch.testing.assert_close(seen[0], bgr, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(seen[1], (255 * images - mean) / std, rtol=1e-5, atol=1e-5)


def test_normalisation_is_no_entry_of_a_checkpoint() -> None:
    module = Normalize(IMAGENET)
    assert list(module.state_dict()) == []
    assert [name for name, _ in module.named_buffers()] == ["mean", "scale"]


@pytest.mark.parametrize(("slope", "expected"), [(0.0, 0.0), (0.01, -0.02)])
def test_conv_norm_act(slope: float, expected: float) -> None:
    block = conv_norm_act(1, 1, 3, slope).eval()
    assert [p.shape for p in block.parameters()] == [(1, 1, 3, 3), (1,), (1,)]
    nn.init.constant_(block.get_parameter("0.weight"), -2 / 9)
    center = block(torch.ones(1, 1, 3, 3))[0, 0, 1, 1].item()
    assert center == pytest.approx(expected, rel=1e-4)
    assert block(torch.ones(2, 1, 4, 5)).shape == (2, 1, 4, 5)


@pytest.mark.parametrize("project", ["pooled", "upsampled"])
def test_pyramid_pooling(project: Literal["pooled", "upsampled"]) -> None:
    pooling = PyramidPooling(2, 2, project=project).eval()
    for level in pooling.levels:
        nn.init.dirac_(level.get_parameter("0.weight"))
    features = torch.rand(1, 2, 12, 18)
    levels = pooling(features)
    mean = features.mean((2, 3), keepdim=True)
    torch.testing.assert_close(levels[0], mean.expand_as(levels[0]), rtol=1e-4, atol=0)
    for size, level in zip((1, 2, 3, 6), levels, strict=True):
        cells = features.unflatten(3, (size, -1)).unflatten(2, (size, -1)).mean((3, 5))
        if project == "upsampled":
            cells = F.interpolate(cells, size=(12, 18), mode="bilinear", align_corners=False)
        torch.testing.assert_close(level, cells, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(6, 12), (5, 7), (3, 4), (1, 13)])
def test_cells_that_do_not_divide_a_map_are_exported_as_they_are_trained(
    monkeypatch: pytest.MonkeyPatch, height: int, width: int
) -> None:
    features = torch.rand(2, 3, height, width)
    trained = [average_cells(features, size) for size in PyramidPooling.SIZES]
    monkeypatch.setattr(torch.onnx, "is_in_onnx_export", lambda: True)
    for size, expected in zip(PyramidPooling.SIZES, trained, strict=True):
        exported = average_cells(features, size)
        assert exported.shape == (2, 3, size, size)
        torch.testing.assert_close(exported, expected)
