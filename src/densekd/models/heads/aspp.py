"""Atrous spatial pyramid pooling heads (DeepLabV3, arXiv 1706.05587; DeepLabV3+, arXiv 1802.02611)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from densekd.models.blocks import JoinedConv2d, conv_norm_act, norm_act, separable, upsample
from densekd.models.families import Family

RATES = (12, 24, 36)

Branch = Callable[[int, int, int], nn.Module]


class ASPP(nn.Module):
    """A 1x1 convolution, three dilated 3x3 ones and the image's mean, side by side.

    Args:
        inputs: channels of the deepest features.
        channels: of each of the five branches.
        family: order of the branches, align_corners.
        branch: builds a dilated branch from (inputs, channels, dilation).

    Shape:
        ``[B, inputs, H, W]`` -> list of four ``[B, channels, H, W]`` and one ``[B, channels, 1, 1]``.
    """

    def __init__(self, inputs: int, channels: int, family: Family, branch: Branch) -> None:
        super().__init__()
        self.pool_first = family.aspp == "bottleneck"
        dilated = (branch(inputs, channels, rate) for rate in RATES)
        self.branches = nn.ModuleList([conv_norm_act(inputs, channels, 1), *dilated])
        self.pool = conv_norm_act(inputs, channels, 1)
        self.align_corners = family.align_corners

    def join(self, channels: int, kernel: int) -> JoinedConv2d:
        """Return a convolution that reads all branches; its parameters are not this module's."""
        like = -1 if self.pool_first else 0
        return JoinedConv2d(5 * channels, channels, kernel, like, self.align_corners)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return the branches in the family's order; a joined convolution enlarges the mean."""
        pooled = self.pool(features.mean((2, 3), keepdim=True))
        branches = [branch(features) for branch in self.branches]
        return [pooled, *branches] if self.pool_first else [*branches, pooled]


def _dilated(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    return conv_norm_act(inputs, outputs, 3, dilation=dilation)


class ASPPHead(nn.Module):
    """ASPP, a 3x3 bottleneck, dropout, a 1x1 classifier; CIRKD projects by a 1x1 convolution in between.

    Args:
        inputs: channels of the deepest features.
        channels: width.
        num_classes: C.
        family: order of the branches, projection, align_corners.

    Shape:
        list of maps, the last ``[B, inputs, H, W]`` -> ``[B, C, H, W]``.
    """

    def __init__(self, inputs: int, channels: int, num_classes: int, family: Family) -> None:
        super().__init__()
        self.aspp = ASPP(inputs, channels, family, _dilated)
        self.project: nn.Module = nn.Identity()
        if family.aspp == "project":
            self.project = nn.Sequential(*norm_act(self.aspp.join(channels, 1)), nn.Dropout(0.5))
            self.bottleneck = conv_norm_act(channels, channels, 3)
        else:
            self.bottleneck = norm_act(self.aspp.join(channels, 3))
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the deepest features."""
        x = self.bottleneck(self.project(self.aspp(features[-1])))
        logits: Tensor = self.classifier(self.dropout(x))
        return logits


class SeparableASPPHead(nn.Module):
    """DeepLabV3+: ASPP of depthwise separable convolutions, enlarged and joined with the finest features.

    Args:
        inputs: channels of the finest and of the deepest features.
        channels: width.
        low_channels: what the finest features are projected to.
        num_classes: C.
        family: align_corners.

    Shape:
        list of maps, the first ``[B, inputs[0], H, W]`` -> ``[B, C, H, W]``.
    """

    def __init__(
        self, inputs: tuple[int, int], channels: int, low_channels: int, num_classes: int, family: Family
    ) -> None:
        super().__init__()
        self.align_corners = family.align_corners
        self.aspp = ASPP(inputs[1], channels, family, separable)
        self.fuse = norm_act(self.aspp.join(channels, 3))
        self.low = conv_norm_act(inputs[0], low_channels, 1)
        self.bottleneck = nn.Sequential(
            separable(channels + low_channels, channels, 1), separable(channels, channels, 1)
        )
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the finest features."""
        low = self.low(features[0])
        deep = upsample(self.fuse(self.aspp(features[-1])), low, self.align_corners)
        logits: Tensor = self.classifier(self.dropout(self.bottleneck(torch.cat([deep, low], 1))))
        return logits
