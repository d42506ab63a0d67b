import pytest
import torch

from densekd.models.backbones import make_backbone
from densekd.models.families import FAMILIES
from densekd.models.fpn import fpn


@pytest.mark.parametrize("stride", [8, 16, 32])
def test_strides_and_channels(stride: int) -> None:
    module, channels = make_backbone("regnety_002", FAMILIES["mmseg"], stride)
    features = module.eval()(torch.rand(1, 3, 64, 96))
    assert [64 // x.shape[2] for x in features] == [min(s, stride) for s in (4, 8, 16, 32)]
    assert [x.shape[1] for x in features] == channels == [24, 56, 152, 368]


def test_a_model_learns_with_frozen_first_stages() -> None:
    model = fpn(3, "regnety_002", 8, freeze=("stem", "stage1")).train()
    model(torch.rand(2, 3, 64, 64)).sum().backward()
    learned = {name.partition(".")[0] for name, x in model.backbone.named_parameters() if x.grad is not None}
    assert learned == {"s2", "s3", "s4"}
