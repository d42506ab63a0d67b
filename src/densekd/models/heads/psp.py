"""Pyramid scene parsing head (arXiv 1612.01105)."""

import torch
from torch import Tensor, nn

from densekd.models.blocks import PyramidPooling, conv_norm_act
from densekd.models.families import Family


class PSPHead(nn.Module):
    """Pyramid pooling beside the deepest features, a 3x3 bottleneck, dropout, a 1x1 classifier.

    Args:
        inputs: channels of the deepest features.
        channels: width of the pyramid levels and the bottleneck, or of both in turn.
        num_classes: C.
        family: align_corners, activation and order of concatenation.

    Shape:
        list of maps, the last ``[B, inputs, H, W]`` -> ``[B, C, H, W]``.
    """

    def __init__(self, inputs: int, channels: int | tuple[int, int], num_classes: int, family: Family) -> None:
        super().__init__()
        self.pyramid_first = family.pyramid_first
        levels, channels = (channels, channels) if isinstance(channels, int) else channels
        self.pyramid = PyramidPooling(inputs, levels, family.align_corners, family.negative_slope)
        self.bottleneck = conv_norm_act(inputs + 4 * levels, channels, 3, family.negative_slope)
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the deepest features."""
        levels = self.pyramid(features[-1])
        joined = [*levels, features[-1]] if self.pyramid_first else [features[-1], *levels]
        logits: Tensor = self.classifier(self.dropout(self.bottleneck(torch.cat(joined, 1))))
        return logits
