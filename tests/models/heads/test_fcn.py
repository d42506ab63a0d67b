"""Fully convolutional heads: the map that each reads, and what the families change."""

import pytest
import torch
from torch import nn

from densekd.models.families import FAMILIES
from densekd.models.heads import DeepFCNHead, FCNHead


@pytest.mark.parametrize(
    ("family", "bias", "activation"),
    [("mmseg", False, nn.ReLU), ("cirkd", False, nn.ReLU), ("torchdistiller", True, nn.LeakyReLU)],
)
def test_auxiliary_head(family: str, bias: bool, activation: type[nn.Module]) -> None:
    head = FCNHead(6, 4, 3, FAMILIES[family]).eval()
    maps = [torch.full((1, 1, 1, 1), float("nan")), torch.rand(1, 2, 3, 3), torch.rand(1, 6, 5, 7)]
    logits = head([*maps, maps[0]])
    assert logits.shape == (1, 3, 5, 7)
    assert logits.isfinite().all()
    assert (head.conv[0].bias is not None) == bias
    assert isinstance(head.conv[2], activation)


@torch.no_grad()
def test_the_input_is_joined_with_what_became_of_it() -> None:
    head = DeepFCNHead(6, 4, 3).eval()
    x = torch.rand(2, 6, 5, 7)
    joined = torch.cat([x, head.convs[1](head.convs[0](x))], 1)
    torch.testing.assert_close(head([torch.rand(1), x]), head.classifier(head.bottleneck(joined)))
