"""Atrous spatial pyramid pooling (ASPP): DeepLabV3, arXiv 1706.05587, and V3+, arXiv 1802.02611."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from densekd.models.blocks import JoinedConv2d, conv_norm_act, head_dropout, norm_act, separable, upsample
from densekd.models.families import Family

RATES = (12, 24, 36)

Branch = Callable[[int, int, int], nn.Module]


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: a 1x1 convolution, three dilated 3x3, the image's mean.

    Args:
        inputs: channels of the deepest features.
        channels: of each of the five branches.
        family: order of the branches, align_corners.
        branch: builds a dilated branch from (inputs, channels, dilation).

    Shape:
        ``[B, inputs, H, W]`` -> list of four ``[B, channels, H, W]``, one ``[B, channels, 1, 1]``.
    """

    def __init__(self, inputs: int, channels: int, family: Family, branch: Branch) -> None:
        super().__init__()
        self.pool_first = family.aspp == "bottleneck"
        self.branches = nn.ModuleList([conv_norm_act(inputs, channels, 1)])
        for rate in RATES:
            self.branches.append(branch(inputs, channels, rate))
        self.pool = conv_norm_act(inputs, channels, 1)
        self.align_corners = family.align_corners

    def join(self, channels: int, kernel: int) -> JoinedConv2d:
        """Return a convolution that reads all branches; its parameters are not this module's.

        Args:
            channels: of each branch, and of the output.
            kernel: of the convolution.
        """
        # Any branch but the mean, which is a single cell, has the size of the output.
        like = -1 if self.pool_first else 0
        return JoinedConv2d(5 * channels, channels, kernel, like, self.align_corners)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return the branches in the family's order; a joined convolution upsamples the mean."""
        pooled = self.pool(features.mean((2, 3), keepdim=True))
        branches = [branch(features) for branch in self.branches]
        if self.pool_first:
            return [pooled, *branches]
        return [*branches, pooled]


def _dilated(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    return conv_norm_act(inputs, outputs, 3, dilation=dilation)


class ASPPHead(nn.Module):
    """DeepLabV3's head: ASPP, a 3x3 bottleneck, dropout, a 1x1 classifier.

    CIRKD projects the five branches by a 1x1 convolution before the bottleneck.

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
            # The 1x1 convolution joins the branches, and the bottleneck reads a single map.
            projection = norm_act(self.aspp.join(channels, 1))
            self.project = projection.append(nn.Dropout(0.5))
            self.bottleneck = conv_norm_act(channels, channels, 3)
        else:
            # The bottleneck itself joins the branches.
            self.bottleneck = norm_act(self.aspp.join(channels, 3))
        self.dropout = head_dropout(family)
        self.classifier = nn.Conv2d(channels, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the deepest features."""
        x = self.bottleneck(self.project(self.aspp(features[-1])))
        logits: Tensor = self.classifier(self.dropout(x))
        return logits


class SeparableASPPHead(nn.Module):
    """DeepLabV3+'s head: separable ASPP, upsampled and joined with the finest features.

    Args:
        inputs: channels of the finest and of the deepest features.
        channels: width, and what the finest features are projected to.
        num_classes: C.
        family: align_corners.

    Shape:
        list of maps, the first ``[B, inputs[0], H, W]`` -> ``[B, C, H, W]``.
    """

    def __init__(self, inputs: tuple[int, int], channels: tuple[int, int], num_classes: int, family: Family) -> None:
        super().__init__()
        finest, deepest = inputs
        width, low = channels
        self.align_corners = family.align_corners
        self.aspp = ASPP(deepest, width, family, separable)
        self.fuse = norm_act(self.aspp.join(width, 3))
        self.low = conv_norm_act(finest, low, 1)
        self.bottleneck = nn.Sequential(
            separable(width + low, width, 1),
            separable(width, width, 1),
        )
        self.dropout = nn.Dropout2d(0.1)
        self.classifier = nn.Conv2d(width, num_classes, 1)

    def forward(self, features: list[Tensor]) -> Tensor:
        """Return logits at the stride of the finest features."""
        # Encoder: context from the deepest map. Decoder: detail from the finest one.
        low = self.low(features[0])
        deep = upsample(self.fuse(self.aspp(features[-1])), low, self.align_corners)
        joined = torch.cat([deep, low], 1)
        logits: Tensor = self.classifier(self.dropout(self.bottleneck(joined)))
        return logits
