"""Light feature pyramid (FPN) head with pyramid pooling: arXiv 1612.03144 and 1807.10221."""

from torch import Tensor, nn

from densekd.models.blocks import JoinedConv2d, PyramidPooling, conv_norm_act, norm_act, upsample


class FPNHead(nn.Module):
    """Pool the deepest map, add it up to the finer ones, one 3x3 convolution, dropout, classifier.

    Args:
        inputs: channels of the four maps.
        channels: width of the pyramid.
        num_classes: C.
        dropout: share of channels dropped before the classifier.

    Shape:
        four maps, the finest ``[B, inputs[0], H, W]`` -> ``[B, C, H, W]``.
    """

    def __init__(self, inputs: list[int], channels: int, num_classes: int, dropout: float) -> None:
        super().__init__()
        pooled = channels // 4
        self.pyramid = PyramidPooling(inputs[-1], pooled)
        self.top = norm_act(JoinedConv2d(inputs[-1] + 4 * pooled, channels, 1))
        self.lateral = nn.ModuleList(conv_norm_act(width, channels, 1) for width in inputs[:-1])
        self.bottleneck = conv_norm_act(channels, channels, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the finest features."""
        deepest = features[-1]
        # Context: the deepest map beside its pooled levels.
        x = self.top([deepest, *self.pyramid(deepest)])
        # Top-down pathway: upsample, and add the next finer map at the pyramid's width.
        for lateral, finer in zip(reversed(self.lateral), reversed(features[:-1]), strict=True):
            x = lateral(finer) + upsample(x, finer, align_corners=False)
        logits: Tensor = self.classifier(self.dropout(self.bottleneck(x)))
        return logits
