"""Input sizes that foreign networks accept, and hidden states (tokens) turned into feature maps."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class InputSize(NamedTuple):
    """Image sizes that a network accepts.

    Args:
        multiple: height and width are multiples of this.
        size: (height, width) of every image, or None for any.
    """

    multiple: int = 1
    size: tuple[int, int] | None = None


def resize_input(images: Tensor, accepted: InputSize) -> Tensor:
    """Resize images bilinearly to the fixed size, or up to the next multiple.

    Resized rather than padded, so that a map covers the image and nothing else, and maps of two
    models agree in place.

    Shape:
        ``[B, 3, H, W]`` -> ``[B, 3, H', W']``.
    """
    H, W = images.shape[-2:]
    size = accepted.size
    if size is None:
        multiple = accepted.multiple
        size = (-(-H // multiple) * multiple, -(-W // multiple) * multiple)
    if size == (H, W):
        return images
    # Antialiasing only matters, and only costs, where something is left out.
    shrinks = size[0] < H or size[1] < W
    if shrinks and (torch.onnx.is_in_onnx_export() or torch.compiler.is_exporting()):
        # Engines have no antialiasing, or another one: two products with fixed matrices are the same.
        rows = _antialiased(H, size[0]).to(images)
        columns = _antialiased(W, size[1]).to(images)
        return rows @ images @ columns.T
    return F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=shrinks)


def _antialiased(length: int, target: int) -> Tensor:
    """Return the matrix ``[target, length]`` of an antialiased bilinear resize, as ``F.interpolate`` does it."""
    # A triangle as wide as what a pixel of the result covers, and not narrower than a pixel.
    width = max(length / target, 1.0)
    rows = []
    for k in range(target):
        center = (k + 0.5) * length / target
        weights = [max(0.0, 1 - abs(j + 0.5 - center) / width) for j in range(length)]
        total = sum(weights)
        rows.append([weight / total for weight in weights])
    return torch.tensor(rows)


def to_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Turn tokens into a map; patch tokens come last, after class tokens, registers and queries.

    Args:
        tokens: ``[B, N, C]`` with N >= h w, or a map ``[B, C, h, w]``, which is returned as it is.
        grid: (h, w).
    """
    if tokens.ndim == 4:
        return tokens
    h, w = grid
    # Row by row, as all of these networks flatten their patches.
    return tokens[:, -h * w :].mT.reshape(tokens.shape[0], -1, h, w)


def four_maps(states: Sequence[Tensor], grid: tuple[int, int]) -> list[Tensor]:
    """Choose four of a network's hidden states as feature maps, finest first.

    Of a pyramid, the last state of each of the last four sizes; of states that are mostly equal in
    size (a plain transformer, a dilated network), the input's embedding left out, those after 1/4,
    2/4, 3/4 and all of the depth.

    Args:
        states: ``[B, N, C]`` or ``[B, C, h, w]``, from input to output.
        grid: (h, w) of the tokens.
    """
    maps = [to_map(state, grid) for state in states]
    # The last map of every size; a dict keeps the order of first appearance.
    last_of_size = {tuple(x.shape[-2:]): x for x in maps}
    levels = list(last_of_size.values())
    if len(levels) >= 4:
        return levels[-4:]
    # State 0 is the embedding.
    depth = len(maps) - 1
    return [maps[quarter * depth // 4] for quarter in (1, 2, 3, 4)]
