"""Foreground and background masks of boxes on a feature map, by inverse area (FGD)."""

# B images, N boxes of an image, H, W height and width of the map

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def box_masks(boxes: Sequence[Tensor], sizes: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Fill each box with one over the number of positions it covers (arXiv 2111.11837, eqs. 5, 6).

    A box goes to the map as if image and map had one extent, ``x / width * W``, and covers every
    position from the floor of its first corner to the ceiling of its last, both included. Where
    boxes overlap the larger value stays, that of the smaller box.

    Args:
        boxes: of each image, ``[N, 4]`` in pixels; N may be 0.
        sizes: ``[B, 2]``: height and width that the boxes are measured by.
        like: ``[B, C, H, W]``, for size, device and precision.

    Returns:
        foreground ``[B, H, W]``, 0 outside of boxes; and background, 1 over the number of positions
        outside, 0 inside.
    """
    H, W = like.shape[2:]
    rows = torch.arange(H, device=like.device)
    columns = torch.arange(W, device=like.device)
    masks = []
    for corners, (height, width) in zip(boxes, sizes.to(like), strict=True):
        # First and last row and column that each box covers, [N].
        x1, y1, x2, y2 = corners.to(like).unbind(1)
        top = (y1 / height * H).floor()
        bottom = (y2 / height * H).ceil()
        left = (x1 / width * W).floor()
        right = (x2 / width * W).ceil()
        # The rectangle of each box as an outer product, [N, H, W].
        in_rows = (rows >= top[:, None]) & (rows <= bottom[:, None])
        in_columns = (columns >= left[:, None]) & (columns <= right[:, None])
        share = 1 / (bottom + 1 - top) / (right + 1 - left)
        filled = share[:, None, None] * in_rows[:, :, None] * in_columns[:, None]
        # The smallest box at each position; an empty first layer serves images without boxes.
        empty = filled.new_zeros(1, H, W)
        masks.append(torch.cat((empty, filled)).amax(0))
    foreground = torch.stack(masks)
    outside = (foreground == 0).to(foreground)
    return foreground, outside / outside.sum((1, 2), keepdim=True).clamp(min=1)


def padded_extent(sizes: Tensor) -> Tensor:
    """Return the size each image ``[B, 2]`` was padded to: the largest, up to a multiple of 32."""
    largest = sizes.amax(0, keepdim=True)
    return (largest + 31).div(32, rounding_mode="floor").mul(32).expand_as(sizes)
