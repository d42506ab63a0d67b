"""FPN head: the way from the coarsest map to the finest, written out."""

import torch
import torch.nn.functional as F

from densekd.models.heads import FPNHead


@torch.no_grad()
def test_top_down() -> None:
    torch.manual_seed(0)
    head = FPNHead([2, 3, 4, 5], 8, 3, dropout=0.5).eval()
    maps = [torch.rand(2, width, 32 >> k, 48 >> k) for k, width in enumerate((2, 3, 4, 5))]

    def resized(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return F.interpolate(x, size=like.shape[2:], mode="bilinear", align_corners=False)

    pooled = [resized(level, maps[3]) for level in head.pyramid(maps[3])]
    x = head.top[1:](F.conv2d(torch.cat([maps[3], *pooled], 1), head.top[0].weight))
    for k in (2, 1, 0):
        x = head.lateral[k](maps[k]) + resized(x, maps[k])
    torch.testing.assert_close(head(maps), head.classifier(head.bottleneck(x)))
    assert head(maps).shape == (2, 3, 32, 48)
