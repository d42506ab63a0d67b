"""Resizing of quantized maps: near bilinear interpolation, and exact sums in any order."""

import pytest
import torch
import torch.nn.functional as F

from densekd.export.resizing import ExactResizing


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize(("source", "target"), [((6, 8), (13, 9)), ((2, 2), (6, 8)), ((3, 3), (23, 30))])
def test_sums_are_exact(source: tuple[int, int], target: tuple[int, int], align_corners: bool) -> None:
    torch.manual_seed(0)
    maps = torch.randint(0, 256, (1, 4, *source)).float()
    usual = F.interpolate(maps, target, mode="bilinear", align_corners=align_corners)
    with ExactResizing():
        found = F.interpolate(maps, target, mode="bilinear", align_corners=align_corners)
        wide = F.interpolate(maps.double(), target, mode="bilinear", align_corners=align_corners)
    assert torch.equal(found.double(), wide)
    # Products of two weights of 1/64.
    assert torch.equal(found * 64**2, (found * 64**2).round())
    # Each axis is off by at most half a part.
    assert (found - usual).abs().max() <= 2 * 255 / 128
    assert not torch.equal(found, usual)


def test_the_usual_way_where_weights_are_exact() -> None:
    maps = torch.rand(1, 2, 6, 8)
    wanted = F.interpolate(maps, (12, 16), mode="bilinear")
    nearest = F.interpolate(maps, (13, 9))
    with ExactResizing():
        assert torch.equal(F.interpolate(maps, (12, 16), mode="bilinear"), wanted)
        assert torch.equal(F.interpolate(maps, (13, 9)), nearest)
