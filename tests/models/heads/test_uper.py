"""UPerNet's head, written out; CIRKD's projects after upsampling and halves its output."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.models.families import FAMILIES
from densekd.models.heads import UPerHead


def resized(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)


@pytest.mark.parametrize(("family", "stride"), [("mmseg", 1), ("torchdistiller", 1), ("cirkd", 2)])
@torch.no_grad()
def test_written_out(family: str, stride: int) -> None:
    torch.manual_seed(0)
    head = UPerHead([2, 3, 4, 5], (3, 6), 7, FAMILIES[family]).eval()
    maps = [torch.rand(2, width, 32 >> k, 48 >> k) for k, width in enumerate((2, 3, 4, 5))]
    pooled = []
    for size, level in zip((1, 2, 3, 6), head.pyramid.levels, strict=True):
        cells = F.adaptive_avg_pool2d(maps[3], size)
        after = level(resized(cells, maps[3]))
        before = resized(level(cells), maps[3])
        pooled.append(after if family == "cirkd" else before)
    joined = torch.cat([maps[3], *pooled], 1)
    x = head.top[1:](F.conv2d(joined, head.top[0].weight, padding=1))
    levels = [x]
    for k in (2, 1, 0):
        x = head.lateral[k](maps[k]) + resized(x, maps[k])
        levels.insert(0, head.smooth[k](x))
    joined = torch.cat([resized(level, maps[0]) for level in levels], 1)
    hidden = head.bottleneck[1:](F.conv2d(joined, head.bottleneck[0].weight, stride=stride, padding=1))
    logits = head(maps)
    torch.testing.assert_close(logits, head.classifier(hidden), rtol=1e-4, atol=1e-5)
    assert logits.shape == (2, 7, 32 // stride, 48 // stride)
