"""Boxes painted on a map: each position's share of the smallest box over it."""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def box_masks(boxes: Sequence[Tensor], sizes: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Paint each box with one over the number of positions it covers (Yang et al., arXiv 2111.11837, eqs. 5 and 6).

    A box goes to the map as if image and map had one extent, ``x / width * W``, and covers every position from the
    floor of its first corner to the ceiling of its last, both included. Where boxes overlap the larger value stays,
    that of the smaller box.

    Args:
        boxes: of each image, ``[N, 4]`` in pixels; N may be 0.
        sizes: ``[B, 2]``: height and width that the boxes are measured by.
        like: ``[B, C, H, W]``, for size, device and precision.

    Returns:
        foreground ``[B, H, W]``, 0 outside of boxes; and background, 1 over the number of positions outside, 0 inside.
    """
    H, W = like.shape[2:]
    rows, columns = (torch.arange(n, device=like.device) for n in (H, W))
    masks = []
    for own, (height, width) in zip(boxes, sizes.to(like), strict=True):
        x1, y1, x2, y2 = own.to(like).unbind(1)
        top, bottom = (y1 / height * H).floor(), (y2 / height * H).ceil()
        left, right = (x1 / width * W).floor(), (x2 / width * W).ceil()
        down = (rows >= top[:, None]) & (rows <= bottom[:, None])
        across = (columns >= left[:, None]) & (columns <= right[:, None])
        share = 1 / (bottom + 1 - top) / (right + 1 - left)
        painted = share[:, None, None] * down[:, :, None] * across[:, None]
        masks.append(torch.cat((painted.new_zeros(1, H, W), painted)).amax(0))
    foreground = torch.stack(masks)
    outside = (foreground == 0).to(foreground)
    return foreground, outside / outside.sum((1, 2), keepdim=True).clamp(min=1)


def padded_extent(sizes: Tensor) -> Tensor:
    """Return what each image ``[B, 2]`` has been padded to: the largest of all, up to the next multiple of 32."""
    return (sizes.amax(0, keepdim=True) + 31).div(32, rounding_mode="floor").mul(32).expand_as(sizes)
