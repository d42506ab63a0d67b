"""Segmentation models: taps, and an auxiliary head that may go."""

import torch
from torch import nn

from densekd.distill.taps import Taps
from densekd.models.dilated import pspnet
from densekd.models.segmentor import Segmentor


def test_taps() -> None:
    model = pspnet(3, "resnet18_025", auxiliary_channels=8).eval()
    with torch.no_grad():
        output, read = Taps(model, model.taps)(torch.rand(1, 3, 64, 96))
    shapes = {path: list(tensor.shape[1:]) for path, tensor in read.items()}
    assert shapes == {
        "features.0": [16, 16, 24], "features.1": [32, 8, 12], "features.2": [64, 8, 12], "features.3": [128, 8, 12],
        "logits": [3, 8, 12], "pre_logits": [32, 8, 12], "aux": [3, 8, 12],
    }  # fmt: skip
    assert torch.equal(output, read["logits"])
    assert torch.equal(model.head.get_submodule("classifier")(read["pre_logits"]), output)


def test_the_auxiliary_head_is_run_for_its_tap_alone() -> None:
    model = pspnet(3, "resnet18_025", auxiliary_channels=8).eval()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        with_it = model(images)
        model.auxiliary = None
        assert torch.equal(model(images), with_it)
    assert "aux" not in model.taps
    assert not [key for key in model.state_dict() if key.startswith("auxiliary")]


def test_facts() -> None:
    model = pspnet(3, "resnet18_025", "cirkd")
    assert isinstance(model, Segmentor)
    assert model.num_classes == 3
    assert model.convention.order == "bgr"
    assert model.align_corners
    assert isinstance(model.backbone, nn.Module)
