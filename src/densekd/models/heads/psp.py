"""Pyramid scene parsing head (arXiv 1612.01105)."""

from torch import Tensor, nn

from densekd.models.blocks import JoinedConv2d, PyramidPooling, norm_act
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
        self.pyramid = PyramidPooling(inputs, levels, family.negative_slope)
        like = -1 if self.pyramid_first else 0
        joined = JoinedConv2d(inputs + 4 * levels, channels, 3, like, family.align_corners)
        self.bottleneck = norm_act(joined, family.negative_slope)
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the deepest features."""
        levels = self.pyramid(features[-1])
        joined = [*levels, features[-1]] if self.pyramid_first else [features[-1], *levels]
        logits: Tensor = self.classifier(self.dropout(self.bottleneck(joined)))
        return logits
