"""Convolution of resized and concatenated feature maps, without holding the upsampled maps."""

# B batch, C channels of a map, O output channels, k kernel size
# h, w height and width of a map; H, W height and width of the output
# Resizing and convolving are linear: conv(cat(resize(x_i))) = sum_i conv_i(resize(x_i)), in either
# order.

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.kernels.dispatch import kernel
from densekd.ops.interpolation import resize


def joined_convolution_reference(
    parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None, like: int = 0, align_corners: bool = False
) -> Tensor:
    """Compute :func:`joined_convolution` in plain operations."""
    resized = [resize(x, parts[like].shape[2:], align_corners) for x in parts]
    return F.conv2d(torch.cat(resized, 1), weight, bias, padding=weight.shape[2] // 2)


@kernel(joined_convolution_reference)
def joined_convolution(
    parts: Sequence[Tensor], weight: Tensor, bias: Tensor | None, like: int = 0, align_corners: bool = False
) -> Tensor:
    """Resize all maps bilinearly to the size of one, concatenate, convolve with same padding.

    Each map may be convolved before it is upsampled. A 1x1 convolution is; for a larger one the few
    cells of a pooled map multiply the weights, and a constant matrix distributes the products over
    the positions. In SegFormer this saves 2/3 of the operations of the layer that has half of all,
    in PSPNet half of its bottleneck's.

    Args:
        parts: maps ``[B, C_i, h_i, w_i]``.
        weight: ``[O, sum of C_i, k, k]``, k odd.
        bias: ``[O]`` or None.
        like: index of the map ``[B, ., H, W]`` that all others are resized to.
        align_corners: of the resizing.

    Returns:
        ``[B, O, H, W]``.
    """
    size, k = parts[like].shape[2:], weight.shape[2]
    # Maps of the output's size and their weights; convolved at their own size; pooled maps and
    # their weights.
    full: list[Tensor] = []
    full_weights: list[Tensor] = []
    projected: list[Tensor] = []
    pooled: list[tuple[Tensor, Tensor]] = []
    # Copies: the parameter is read once, and each part lies in memory as a convolution wants it.
    weights = torch.ops.aten.split_with_sizes_copy(weight, [x.shape[1] for x in parts], 1)
    for x, w in zip(parts, weights, strict=True):
        cells = x.shape[2] * x.shape[3]
        if x.shape[2:] != size and k == 1:
            projected.append(F.conv2d(x, w))
        elif x.shape[2:] != size and cells < x.shape[1]:
            pooled.append((x, w))
        else:
            full.append(resize(x, size, align_corners))
            full_weights.append(w)
    # One convolution of all maps that have the output's size.
    out = F.conv2d(_cat(full), _cat(full_weights), bias, padding=k // 2)
    # Maps that a 1x1 convolution has brought to O channels are upsampled afterwards.
    for y in projected:
        out += resize(y, size, align_corners)
    # Pooled maps: products of cells and weights, distributed by one matrix product.
    if pooled:
        products = torch.cat([_products(x, w) for x, w in pooled], 1)
        distribution = torch.cat([_distribution(x, size, k, align_corners) for x, _ in pooled])
        out += (distribution.mT @ products).view(out.shape[0], *size, -1).permute(0, 3, 1, 2)
    return out


def _cat(maps: list[Tensor]) -> Tensor:
    """Concatenate along the channels; one map alone is not copied."""
    return maps[0] if len(maps) == 1 else torch.cat(maps, 1)


def _products(x: Tensor, weight: Tensor) -> Tensor:
    """Multiply every cell with every tap of the kernel: ``[B, h w k k, O]``."""
    return torch.einsum("bcs,ocp->bspo", x.flatten(2), weight.flatten(2)).flatten(1, 2)


def _distribution(x: Tensor, size: torch.Size, k: int, align_corners: bool) -> Tensor:
    """Return the share of every cell that each tap reads at each position: ``[h w k k, H W]``."""
    h, w = x.shape[2:]
    # Each cell as a map of its own that is 1 there, upsampled: the interpolation as a matrix.
    cells = torch.eye(h * w, dtype=x.dtype, device=x.device).view(1, h * w, h, w)
    shares = resize(cells, size, align_corners).transpose(0, 1)
    return F.unfold(shares, k, padding=k // 2).flatten(0, 1)
