"""Building blocks: input normalization, convolution with norm and activation, pyramid pooling."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.errors import UserError
from densekd.kernels.joined_convolution import joined_convolution
from densekd.models.families import Convention, Family
from densekd.ops.interpolation import resize


class Normalize(nn.Module):
    """Input normalization: RGB in [0, 1] to the channel order, mean and deviation of the training.

    It is a part of the model, so that models of different conventions can share a batch.

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
        mean = torch.tensor(convention.mean).view(1, 3, 1, 1)
        scale = 1 / torch.tensor(convention.std).view(1, 3, 1, 1)
        # Not persistent: a checkpoint holds weights alone, so that published state dicts fit.
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("scale", scale, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Reorder the channels, subtract the mean and divide by the standard deviation."""
        # Mean and deviation are in the order of the network, so reorder first.
        if self.convention.order == "bgr":
            images = images.flip(1)
        return (images - self.mean) * self.scale


class NormalizeBands(nn.Module):
    """Input normalization of images of any number of bands, of which some may be chosen.

    Args:
        convention: mean and standard deviation of the bands that the network reads, in its order.
        images: number N of bands of the images.
        gray: factors of the first bands, whose sum is the one band that is read; empty: bands are
            chosen.
        places: of the bands that are chosen, from 0, in the network's order.

    Shape:
        ``[B, N, H, W]`` -> ``[B, K, H, W]``, K the bands that are read.
    """

    mean: Tensor
    scale: Tensor
    places: Tensor
    gray: Tensor

    def __init__(
        self, convention: Convention, images: int, gray: Sequence[float] = (), places: Sequence[int] = ()
    ) -> None:
        super().__init__()
        self.convention = convention
        self.images = images
        self._chooses = list(places) != list(range(images))
        self._description = f"images={images}, places={list(places)}, gray={list(gray)}"
        mean = torch.tensor(convention.mean).view(1, -1, 1, 1)
        scale = 1 / torch.tensor(convention.std).view(1, -1, 1, 1)
        # Not persistent: a checkpoint holds weights alone.
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("places", torch.tensor(list(places), dtype=torch.long), persistent=False)
        self.register_buffer("gray", torch.tensor(list(gray)).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Choose the bands, subtract the mean and divide by the standard deviation."""
        if images.shape[1] != self.images:
            raise UserError(f"The model takes images of {self.images} bands; these have {images.shape[1]}.")
        if self.gray.numel():
            images = (images[:, : self.gray.shape[1]] * self.gray).sum(1, keepdim=True)
        elif self._chooses:
            images = images.index_select(1, self.places)
        return (images - self.mean) * self.scale

    def extra_repr(self) -> str:
        """Describe which bands are read: the digest of a teacher is made of it."""
        return self._description


class JoinedConv2d(nn.Module):
    """Convolution of maps of several sizes, as if upsampled to one size and concatenated.

    Args:
        inputs: channels of all maps together.
        outputs: channels.
        kernel: odd; same padding.
        like: index of the map that has the size.
        align_corners: of the resizing.
        bias: there is one, and it starts at 0.

    Shape:
        maps ``[B, ., h, w]``, that one ``[B, ., H, W]`` -> ``[B, outputs, H, W]``.
    """

    # Of the output channels, for quantization.
    weight_axis = 0

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        like: int = 0,
        align_corners: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        # Initialized as a convolution is; fused batch norms may add a bias later.
        self.weight = nn.Conv2d(inputs, outputs, kernel, bias=False).weight
        self.bias: nn.Parameter | None
        self.register_parameter("bias", nn.Parameter(torch.zeros(outputs)) if bias else None)
        self.like = like
        self.align_corners = align_corners

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        """Convolve; see :func:`densekd.kernels.joined_convolution.joined_convolution`."""
        return joined_convolution(parts, self.weight, self.bias, self.like, self.align_corners)

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """Resize all maps to one size and concatenate them: the one map that a quantized device convolves."""
        size = parts[self.like].shape[2:]
        return torch.cat([resize(x, size, self.align_corners) for x in parts], 1)


def conv_norm_act(
    inputs: int, outputs: int, kernel: int, negative_slope: float = 0.0, dilation: int = 1
) -> nn.Sequential:
    """Convolution with same padding and no bias, batch norm, and (leaky) ReLU.

    Args:
        inputs: channels.
        outputs: channels.
        kernel: odd.
        negative_slope: of the leaky ReLU; 0 is a ReLU.
        dilation: of the convolution.
    """
    # Same padding: at stride 1 the map keeps its size, whatever the dilation.
    padding = dilation * (kernel // 2)
    conv = nn.Conv2d(inputs, outputs, kernel, padding=padding, dilation=dilation, bias=False)
    return norm_act(conv, negative_slope)


def norm_act(conv: nn.Conv2d | JoinedConv2d, negative_slope: float = 0.0) -> nn.Sequential:
    """Append batch norm and ReLU (leaky where the slope is not 0) to a convolution."""
    activation: nn.Module = nn.ReLU(inplace=True)
    if negative_slope:
        activation = nn.LeakyReLU(negative_slope, inplace=True)
    return nn.Sequential(conv, nn.BatchNorm2d(len(conv.weight)), activation)


def separable(inputs: int, outputs: int, dilation: int) -> nn.Sequential:
    """Depthwise separable 3x3 convolution; both parts with batch norm and ReLU (arXiv 1610.02357)."""
    # Depthwise: one 3x3 filter per channel, then 1x1 convolutions mix the channels (pointwise).
    depthwise = nn.Conv2d(
        inputs,
        inputs,
        kernel_size=3,
        padding=dilation,
        dilation=dilation,
        groups=inputs,
        bias=False,
    )
    first = nn.Sequential(depthwise, nn.BatchNorm2d(inputs), nn.ReLU(inplace=True))
    return nn.Sequential(first, conv_norm_act(inputs, outputs, 1))


def head_dropout(family: Family) -> nn.Module:
    """Return the dropout before a classifier: of a tenth of the channels, or of the elements."""
    if family.dropout == "elements":
        return nn.Dropout(0.1)
    return nn.Dropout2d(0.1)


class PyramidPooling(nn.Module):
    """Pyramid pooling: pool to 1, 2, 3 and 6 cells a side and project (PSPNet, arXiv 1612.01105).

    Args:
        inputs: channels of the features.
        outputs: channels of each of the four levels.
        negative_slope: of the levels' activation.
        project: ``pooled``: the cells are projected, and whoever reads them upsamples them
            (:class:`JoinedConv2d`). ``upsampled``: the cells are upsampled first (UPerNet's own
            code, and CIRKD's).

    Shape:
        ``[B, inputs, H, W]`` -> list of four ``[B, outputs, n, n]``, or ``[B, outputs, H, W]``.
    """

    SIZES = (1, 2, 3, 6)
    # Set while the model is quantized, see average_cells.
    exact_means = False

    def __init__(
        self,
        inputs: int,
        outputs: int,
        negative_slope: float = 0.0,
        project: Literal["pooled", "upsampled"] = "pooled",
    ) -> None:
        super().__init__()
        self.project = project
        self.levels = nn.ModuleList()
        for _ in self.SIZES:
            self.levels.append(conv_norm_act(inputs, outputs, 1, negative_slope))

    def forward(self, features: Tensor) -> list[Tensor]:
        """Return the four levels."""
        # Each level sees the image at one coarseness: the mean of the whole, of quarters, ...
        levels = []
        for size, projection in zip(self.SIZES, self.levels, strict=True):
            cells = average_cells(features, size, self.exact_means)
            if self.project == "upsampled":
                cells = upsample(cells, features, align_corners=False)
            levels.append(projection(cells))
        return levels


def average_cells(features: Tensor, size: int, exact: bool = False) -> Tensor:
    """Average a map in ``size x size`` cells, as ``adaptive_avg_pool2d`` does, also while it is exported.

    Engines have no adaptive pooling for maps that the cells do not divide; there rows and columns are
    summed by products with two matrices. Sums of integers are exact in any order, and so is a mean that lies
    between two integers: int8 engines round it as torch does.

    Args:
        features: the map.
        size: cells a side.
        exact: whether a mean is rounded once. torch multiplies the sum of a whole map by the reciprocal of its size,
            which is rounded itself.

    Shape:
        ``[B, C, H, W]`` -> ``[B, C, size, size]``.
    """
    if not (torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting()):
        if exact and size == 1:
            # One value, but no scalar: by a scalar torch divides by way of the reciprocal.
            count = torch.tensor([features.shape[2] * features.shape[3]], device=features.device)
            return features.sum((2, 3), keepdim=True) / count
        return F.adaptive_avg_pool2d(features, size)
    height, width = int(features.shape[2]), int(features.shape[3])
    rows, heights = cell_sums(height, size)
    columns, widths = cell_sums(width, size)
    divisor = heights[:, None] * widths
    return rows.to(features) @ features @ columns.T.to(features) / divisor.to(features)


def cell_sums(length: int, cells: int) -> tuple[Tensor, Tensor]:
    """Return the matrix of sums in cells, from floor(k L / n) to ceil((k + 1) L / n), and what makes means of them.

    A sum is divided by the power of two that is not below the number of its values at once, which is exact and keeps
    it small enough for float16.

    Returns:
        ``[cells, length]``, and divisors ``[cells]`` in (1/2, 1].
    """
    sums = torch.zeros(cells, length)
    divisors = torch.zeros(cells)
    for k in range(cells):
        first = k * length // cells
        count = -(-(k + 1) * length // cells) - first
        scale = 2.0 ** -(count - 1).bit_length()
        sums[k, first : first + count] = scale
        divisors[k] = count * scale
    return sums, divisors


def last_channels(module: nn.Module) -> int:
    """Return the output channels of the last convolution in ``module``: C of a classifier."""
    convolutions = [m for m in module.modules() if isinstance(m, nn.Conv2d)]
    return convolutions[-1].out_channels


def upsample(x: Tensor, like: Tensor, align_corners: bool) -> Tensor:
    """Resize ``x`` bilinearly to the height and width of ``like``."""
    return resize(x, like.shape[2:], align_corners)
