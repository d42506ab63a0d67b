"""Unified perceptual parsing head (Xiao et al., ECCV 2018, arXiv 1807.10221)."""

import torch
from torch import Tensor, nn

from densekd.models.blocks import JoinedConv2d, PyramidPooling, conv_norm_act, norm_act, upsample
from densekd.models.families import Family


class UPerHead(nn.Module):
    """Pyramid pooling on the deepest map, a feature pyramid above the others, all joined at the finest.

    Args:
        inputs: channels of the four maps.
        channels: width, or that of the pooled levels and that of all else.
        num_classes: C.
        family: CIRKD's projects its pyramid levels after enlarging them and halves the joined map.

    Shape:
        four maps, the finest ``[B, inputs[0], H, W]`` -> ``[B, C, H, W]`` (CIRKD: half the height and width).
    """

    def __init__(self, inputs: list[int], channels: int | tuple[int, int], num_classes: int, family: Family) -> None:
        super().__init__()
        pooled, channels = (channels, channels) if isinstance(channels, int) else channels
        self.pyramid = PyramidPooling(inputs[-1], pooled)
        self.pyramid.project_enlarged = family.aspp == "project"
        self.top = norm_act(JoinedConv2d(inputs[-1] + 4 * pooled, channels, 3))
        self.lateral = nn.ModuleList(conv_norm_act(c, channels, 1) for c in inputs[:-1])
        self.smooth = nn.ModuleList(conv_norm_act(channels, channels, 3) for _ in inputs[:-1])
        self.bottleneck = conv_norm_act(len(inputs) * channels, channels, 3)
        if family.aspp == "project":
            self.bottleneck[0] = nn.Conv2d(len(inputs) * channels, channels, 3, 2, 1, bias=False)
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the finest features, or twice that."""
        x = self.top([features[-1], *self.pyramid(features[-1])])
        levels = [x]
        for lateral, smooth, finer in zip(self.lateral[::-1], self.smooth[::-1], features[-2::-1], strict=True):
            x = lateral(finer) + upsample(x, finer, align_corners=False)
            levels.insert(0, smooth(x))
        joined = torch.cat([upsample(level, levels[0], align_corners=False) for level in levels], 1)
        logits: Tensor = self.classifier(self.dropout(self.bottleneck(joined)))
        return logits
