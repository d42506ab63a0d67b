"""Anchors: prior boxes of dense detection heads, several at every position of every level."""

# S shapes of anchors at a position; H_l, W_l height and width of level l

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from densekd.ops.precision import compute_dtype


@dataclass(frozen=True)
class Anchors:
    """Generate boxes of several shapes around every position of every level.

    Args:
        strides: of the levels, in pixels.
        scales: side of a square anchor in strides.
        ratios: height over width; scales vary fastest.
    """

    strides: tuple[int, ...]
    scales: tuple[float, ...]
    ratios: tuple[float, ...] = (1.0,)

    @property
    def shapes(self) -> int:
        """Return S, the number of anchors at a position."""
        return len(self.scales) * len(self.ratios)

    def __call__(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the anchors of each level, ``[H_l * W_l * S, 4]``, the shapes of a position together.

        Args:
            maps: ``[B, C, H_l, W_l]`` of each level, for sizes and device. Position (0, 0) lies at
                the corner of the image, not half a stride inside.
        """
        # Filled on the device: a table that is copied there makes the host wait.
        device, dtype = maps[0].device, compute_dtype(maps[0])
        scales, ratios = filled(self.scales, device, dtype), filled(self.ratios, device, dtype)
        heights = ratios.sqrt()
        levels = []
        for x, stride in zip(maps, self.strides, strict=True):
            # Widths and heights [S]: of one area at every ratio.
            w = (stride * (1 / heights)[:, None] * scales).reshape(-1)
            h = (stride * heights[:, None] * scales).reshape(-1)
            # Corners relative to the center, [S, 4].
            relative = torch.stack([-w, -h, w, h], 1) / 2
            levels.append((_centers(x, stride, dtype) + relative).reshape(-1, 4))
        return levels


def filled(values: Sequence[float], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Return a few numbers as a tensor, made on its device: nothing is copied there, and the host does not wait."""
    return torch.stack([torch.full((), value, device=device, dtype=dtype) for value in values])


def _centers(x: Tensor, stride: int, dtype: torch.dtype) -> Tensor:
    """Return the centers of a level's positions, as both corners: ``[H_l * W_l, 1, 4]``."""
    rows, columns = x.shape[-2:]
    center_y, center_x = torch.meshgrid(
        torch.arange(rows, device=x.device, dtype=dtype) * stride,
        torch.arange(columns, device=x.device, dtype=dtype) * stride,
        indexing="ij",
    )
    return torch.stack([center_x, center_y, center_x, center_y], -1).reshape(-1, 1, 4)
