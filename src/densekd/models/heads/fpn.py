"""Feature pyramid head with pyramid pooling on top (arXiv 1612.03144 and 1807.10221), the light one."""

from torch import Tensor, nn

from densekd.models.blocks import JoinedConv2d, PyramidPooling, conv_norm_act, norm_act, upsample


class FPNHead(nn.Module):
    """Pool the deepest map, walk up by addition, one 3x3 convolution at the finest stride, dropout, classifier.

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
        self.pyramid = PyramidPooling(inputs[-1], channels // 4)
        self.top = norm_act(JoinedConv2d(inputs[-1] + 4 * (channels // 4), channels, 1))
        self.lateral = nn.ModuleList(conv_norm_act(c, channels, 1) for c in inputs[:-1])
        self.bottleneck = conv_norm_act(channels, channels, 3)
        self.dropout = nn.Dropout2d(dropout)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the finest features."""
        x = self.top([features[-1], *self.pyramid(features[-1])])
        for lateral, finer in zip(reversed(self.lateral), reversed(features[:-1]), strict=True):
            x = lateral(finer) + upsample(x, finer, align_corners=False)
        logits: Tensor = self.classifier(self.dropout(self.bottleneck(x)))
        return logits
