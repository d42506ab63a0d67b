"""The few blocks that every family is made of."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.kernels.joined_convolution import joined_convolution
from densekd.models.families import Convention
from densekd.ops.interpolation import resize


class Normalize(nn.Module):
    """Turn RGB in [0, 1] into what a network was trained on; part of the model, so that models can share a batch.

    Args:
        convention: channel order, mean and standard deviation.

    Shape:
        ``[B, 3, H, W]`` -> the same.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, convention: Convention) -> None:
        super().__init__()
        self.convention = convention
        self.register_buffer("mean", torch.tensor(convention.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("scale", 1 / torch.tensor(convention.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Reorder the channels, subtract the mean and divide by the standard deviation."""
        if self.convention.order == "bgr":
            images = images.flip(1)
        return (images - self.mean) * self.scale


class JoinedConv2d(nn.Module):
    """Convolution of maps of several sizes, as if all were resized to that of one of them and concatenated.

    Args:
        inputs: channels of all maps together.
        outputs: channels.
        kernel: odd; same padding, no bias.
        like: index of the map that has the size.
        align_corners: of the resizing.

    Shape:
        maps ``[B, ., h, w]``, that one ``[B, ., H, W]`` -> ``[B, outputs, H, W]``.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, like: int = 0, align_corners: bool = False) -> None:
        super().__init__()
        self.weight = nn.Conv2d(inputs, outputs, kernel, bias=False).weight
        self.bias: nn.Parameter | None
        self.register_parameter("bias", None)
        self.like, self.align_corners = like, align_corners

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """Convolve; see :func:`densekd.kernels.joined_convolution.joined_convolution`."""
        return joined_convolution(parts, self.weight, self.bias, self.like, self.align_corners)


def conv_norm_act(
    inputs: int, outputs: int, kernel: int, negative_slope: float = 0.0, dilation: int = 1
) -> nn.Sequential:
    """Convolution with same padding and no bias, batch norm, and ReLU (leaky where the slope is not 0)."""
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False)
    return norm_act(conv, negative_slope)


def norm_act(conv: nn.Conv2d | JoinedConv2d, negative_slope: float = 0.0) -> nn.Sequential:
    """A convolution, batch norm, and ReLU (leaky where the slope is not 0)."""
    activation = nn.LeakyReLU(negative_slope, inplace=True) if negative_slope else nn.ReLU(inplace=True)
    return nn.Sequential(conv, nn.BatchNorm2d(len(conv.weight)), activation)


def separable(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    """Depthwise 3x3 convolution, batch norm, ReLU, then the same with a 1x1 convolution (arXiv 1610.02357)."""
    depthwise = nn.Conv2d(inputs, inputs, 3, padding=dilation, dilation=dilation, groups=inputs, bias=False)
    first = nn.Sequential(depthwise, nn.BatchNorm2d(inputs), nn.ReLU(inplace=True))
    return nn.Sequential(first, conv_norm_act(inputs, outputs, 1))


class PyramidPooling(nn.Module):
    """Pool to 1, 2, 3 and 6 cells a side and project (PSPNet, arXiv 1612.01105); :class:`JoinedConv2d` enlarges.

    With ``project_enlarged`` set the cells are enlarged and then projected (UPerNet's own code, which CIRKD has).

    Args:
        inputs: channels of the features.
        outputs: channels of each of the four levels.
        negative_slope: of the levels' activation.

    Shape:
        ``[B, inputs, H, W]`` -> list of four ``[B, outputs, n, n]``, or ``[B, outputs, H, W]``.
    """

    SIZES = (1, 2, 3, 6)

    def __init__(self, inputs: int, outputs: int, negative_slope: float = 0.0) -> None:
        super().__init__()
        self.project_enlarged: bool = False
        self.levels = nn.ModuleList(conv_norm_act(inputs, outputs, 1, negative_slope) for _ in self.SIZES)

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return the four levels."""
        pooled = [F.adaptive_avg_pool2d(features, n) for n in self.SIZES]
        if self.project_enlarged:
            pooled = [upsample(x, features, align_corners=False) for x in pooled]
        return [level(x) for level, x in zip(self.levels, pooled, strict=True)]


def last_channels(module: nn.Module) -> int:
    """Return the output channels of the last convolution in ``module``: C of a classifier."""
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    return convolutions[-1].out_channels


def upsample(x: Tensor, like: Tensor, align_corners: bool) -> Tensor:
    """Resize ``x`` bilinearly to the height and width of ``like``."""
    return resize(x, like.shape[2:], align_corners)
