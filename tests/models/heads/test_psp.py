"""PSP head: the bottleneck on the concatenated maps, in the order of each family."""

import pytest
import torch
import torch.nn.functional as F

from densekd.models.families import FAMILIES
from densekd.models.heads import PSPHead


@pytest.mark.parametrize("family", ["mmseg", "cirkd", "torchdistiller"])
@pytest.mark.parametrize("channels", [4, (2, 4)])
@torch.no_grad()
def test_bottleneck(family: str, channels: int | tuple[int, int]) -> None:
    torch.manual_seed(0)
    spec = FAMILIES[family]
    head = PSPHead(6, channels, 3, spec).eval()
    x = torch.rand(2, 6, 9, 13)
    levels = []
    for level in head.pyramid(x):
        resized = F.interpolate(level, size=(9, 13), mode="bilinear", align_corners=spec.align_corners)
        levels.append(resized)
    joined = torch.cat([*levels, x] if family == "torchdistiller" else [x, *levels], 1)
    hidden = head.bottleneck[1:](F.conv2d(joined, head.bottleneck[0].weight, padding=1))
    torch.testing.assert_close(head([torch.rand(1), x]), head.classifier(hidden), rtol=1e-4, atol=1e-5)
    assert [level.shape[1] for level in levels] == [4 if channels == 4 else 2] * 4
