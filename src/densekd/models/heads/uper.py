"""Unified perceptual parsing (UPerNet) head: Xiao et al., ECCV 2018, arXiv 1807.10221."""

import torch
from torch import Tensor, nn

from densekd.models.blocks import JoinedConv2d, PyramidPooling, conv_norm_act, norm_act, upsample
from densekd.models.families import Family


class UPerHead(nn.Module):
    """Pyramid pooling on the deepest map, a feature pyramid on the others, joined at the finest.

    Args:
        inputs: channels of the four maps.
        channels: width, or that of the pooled levels and that of all else.
        num_classes: C.
        family: CIRKD's projects its pyramid levels after upsampling, halves the joined map, and drops
            nothing.

    Shape:
        four maps, the finest ``[B, inputs[0], H, W]`` -> ``[B, C, H, W]`` (CIRKD: half the height
        and width).
    """

    def __init__(self, inputs: list[int], channels: int | tuple[int, int], num_classes: int, family: Family) -> None:
        super().__init__()
        if isinstance(channels, int):
            channels = (channels, channels)
        pooled, width = channels
        if family.upernet == "cirkd":
            self.pyramid = PyramidPooling(inputs[-1], pooled, project="upsampled")
            stride = 2
        else:
            self.pyramid = PyramidPooling(inputs[-1], pooled)
            stride = 1
        self.top = norm_act(JoinedConv2d(inputs[-1] + 4 * pooled, width, 3))
        # Of each finer map: a 1x1 convolution to the pyramid's width, and a 3x3 one after the sum.
        self.lateral = nn.ModuleList(conv_norm_act(finer, width, 1) for finer in inputs[:-1])
        self.smooth = nn.ModuleList(conv_norm_act(width, width, 3) for _ in inputs[:-1])
        join = nn.Conv2d(len(inputs) * width, width, 3, stride=stride, padding=1, bias=False)
        self.bottleneck = norm_act(join)
        # CIRKD's has none.
        self.dropout: nn.Module = nn.Identity() if family.upernet == "cirkd" else nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the finest features, or twice that."""
        deepest = features[-1]
        # Context: the deepest map beside its pooled levels.
        x = self.top([deepest, *self.pyramid(deepest)])
        levels = [x]
        # Top-down pathway: upsample, and add the next finer map at the pyramid's width.
        convs = zip(self.lateral[::-1], self.smooth[::-1], strict=True)
        for (lateral, smooth), finer in zip(convs, features[-2::-1], strict=True):
            x = lateral(finer) + upsample(x, finer, align_corners=False)
            levels.insert(0, smooth(x))
        # Join all levels at the size of the finest.
        finest = levels[0]
        joined = torch.cat([upsample(level, finest, align_corners=False) for level in levels], 1)
        logits: Tensor = self.classifier(self.dropout(self.bottleneck(joined)))
        return logits
