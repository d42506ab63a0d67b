"""ResNets in published files: told apart by their shapes."""

import pytest
import torch

from densekd.models.backbones import BACKBONES, make_backbone
from densekd.models.checkpoints.resnets import which_resnet
from densekd.models.families import find_family


@pytest.mark.parametrize("name", [name for name in BACKBONES if name.startswith("resne") and "_0" not in name])
def test_resnets_are_told_apart_by_their_shapes(name: str) -> None:
    with torch.device("meta"):
        state = make_backbone(name, find_family("mmseg_b"), 32).module.state_dict()
    assert which_resnet({f"backbone.{key}": value for key, value in state.items()}, r"backbone\.") == name
    assert which_resnet(state, r"other\.") is None
