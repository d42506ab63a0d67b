"""The light FPN model: stride 4 on any backbone, and features that nothing changes afterwards."""

import pytest
import torch

from densekd.distill.taps import Taps
from densekd.models.fpn import fpn


@pytest.mark.parametrize("size", [(64, 96), (65, 97)])
def test_logits_have_stride_4(size: tuple[int, int]) -> None:
    model = fpn(3, "resnet18_025", channels=8).eval()
    with torch.no_grad():
        logits = model(torch.rand(1, 3, *size))
    assert logits.shape == (1, 3, -(-size[0] // 4), -(-size[1] // 4))
    assert "aux" not in model.taps


def test_dropout_and_width() -> None:
    model = fpn(3, "resnet18_025", channels=8, dropout=0.25)
    assert model.head.get_submodule("dropout").p == 0.25
    assert model.head.get_submodule("classifier").in_channels == 8


@pytest.mark.parametrize("name", ["resnet18_025", "resnet50", "mobilenetv3_small_050", "mobilenetv3_large_100"])
def test_features_are_not_changed_by_what_follows(name: str) -> None:
    model = fpn(3, name, 8).train()
    paths = [path for path in model.taps if path.startswith("features")]
    taken = Taps(model, paths)(torch.rand(2, 3, 64, 64))[1]
    assert [64 // taken[path].shape[-1] for path in paths] == [4, 8, 16, 32]
    assert all(tensor.requires_grad for tensor in taken.values())
