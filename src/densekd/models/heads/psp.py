"""Pyramid scene parsing (PSPNet) head: arXiv 1612.01105."""

from torch import Tensor, nn

from densekd.models.blocks import JoinedConv2d, PyramidPooling, head_dropout, norm_act
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
        if isinstance(channels, int):
            channels = (channels, channels)
        pooled, width = channels
        self.pyramid_first = family.pyramid_first
        self.pyramid = PyramidPooling(inputs, pooled, family.negative_slope)
        # The deepest features come last or first; the pooled cells are upsampled to their size.
        like = -1 if self.pyramid_first else 0
        joined = JoinedConv2d(inputs + 4 * pooled, width, 3, like, family.align_corners)
        self.bottleneck = norm_act(joined, family.negative_slope)
        self.dropout = head_dropout(family)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the deepest features."""
        deepest = features[-1]
        levels = self.pyramid(deepest)
        # The order of concatenation is part of the weights.
        joined = [deepest, *levels]
        if self.pyramid_first:
            joined = [*levels, deepest]
        logits: Tensor = self.classifier(self.dropout(self.bottleneck(joined)))
        return logits
