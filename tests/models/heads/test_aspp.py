"""ASPP heads against their convolutions written out on concatenated maps."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.models.families import FAMILIES
from densekd.models.heads import ASPPHead, SeparableASPPHead


def joined(head: ASPPHead | SeparableASPPHead, x: Tensor, pool_first: bool) -> Tensor:
    """Concatenate the five branches; the mean is the same at every position."""
    branches = [branch(x) for branch in head.aspp.branches]
    pooled = head.aspp.pool(x.mean((2, 3), keepdim=True)).expand_as(branches[0])
    return torch.cat([pooled, *branches] if pool_first else [*branches, pooled], 1)


@torch.no_grad()
def test_the_bottleneck_joins_the_branches() -> None:
    torch.manual_seed(0)
    head = ASPPHead(6, 4, 3, FAMILIES["mmseg"]).eval()
    x = torch.rand(2, 6, 9, 11)
    x_joined = joined(head, x, pool_first=True)
    hidden = head.bottleneck[1:](F.conv2d(x_joined, head.bottleneck[0].weight, padding=1))
    torch.testing.assert_close(head([x]), head.classifier(hidden))


@torch.no_grad()
def test_cirkd_projects_before_the_bottleneck() -> None:
    torch.manual_seed(0)
    head = ASPPHead(6, 4, 3, FAMILIES["cirkd"]).eval()
    x = torch.rand(2, 6, 9, 11)
    projected = head.project[1:](F.conv2d(joined(head, x, pool_first=False), head.project[0].weight))
    torch.testing.assert_close(head([x]), head.classifier(head.bottleneck(projected)))


def test_rates() -> None:
    head = ASPPHead(6, 4, 3, FAMILIES["mmseg"])
    assert [branch[0].dilation[0] for branch in head.aspp.branches] == [1, 12, 24, 36]


@pytest.mark.parametrize("family", ["mmseg", "cirkd"])
@torch.no_grad()
def test_separable(family: str) -> None:
    torch.manual_seed(0)
    head = SeparableASPPHead((5, 6), (4, 2), 3, FAMILIES[family]).eval()
    fine, deep = torch.rand(1, 5, 12, 16), torch.rand(1, 6, 6, 8)
    joint = joined(head, deep, pool_first=family == "mmseg")
    fused = head.fuse[1:](F.conv2d(joint, head.fuse[0].weight, padding=1))
    enlarged = F.interpolate(fused, size=(12, 16), mode="bilinear", align_corners=family == "cirkd")
    expected = head.classifier(head.bottleneck(torch.cat([enlarged, head.low(fine)], 1)))
    torch.testing.assert_close(head([fine, deep]), expected)
