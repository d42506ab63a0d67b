"""Fully convolutional heads: the auxiliary one (arXiv 1612.01105, 3.3) and FCN's (1411.4038)."""

import torch
from torch import Tensor, nn

from densekd.models.blocks import conv_norm_act, head_dropout, norm_act
from densekd.models.families import Family


class FCNHead(nn.Module):
    """Auxiliary head: a 3x3 convolution, dropout and a 1x1 classifier on the third feature map.

    Args:
        inputs: channels of that map.
        channels: width.
        num_classes: C.
        family: activation, and bias of the 3x3 convolution.

    Shape:
        list of maps, the third ``[B, inputs, H, W]`` -> ``[B, C, H, W]``.
    """

    def __init__(self, inputs: int, channels: int, num_classes: int, family: Family) -> None:
        super().__init__()
        # Batch norm makes a bias superfluous, but one family has it and its weights need it.
        conv = nn.Conv2d(inputs, channels, 3, padding=1, bias=family.auxiliary_bias)
        self.conv = norm_act(conv, family.negative_slope)
        self.dropout = head_dropout(family)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the third map."""
        logits: Tensor = self.classifier(self.dropout(self.conv(features[2])))
        return logits


class DeepFCNHead(nn.Module):
    """FCN's head on the deepest map: two 3x3 convolutions, joined with their input by a third.

    Args:
        inputs: channels of that map.
        channels: width.
        num_classes: C.

    Shape:
        list of maps, the last ``[B, inputs, H, W]`` -> ``[B, C, H, W]``.
    """

    def __init__(self, inputs: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            conv_norm_act(inputs, channels, 3),
            conv_norm_act(channels, channels, 3),
        )
        self.bottleneck = conv_norm_act(inputs + channels, channels, 3)
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the deepest map."""
        deepest = features[-1]
        # A skip connection around the two convolutions, by concatenation.
        joined = torch.cat([deepest, self.convs(deepest)], 1)
        logits: Tensor = self.classifier(self.dropout(self.bottleneck(joined)))
        return logits
