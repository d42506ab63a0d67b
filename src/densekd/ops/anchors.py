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
        return [self._level(x, stride) for x, stride in zip(maps, self.strides, strict=True)]

    def _level(self, x: Tensor, stride: int) -> Tensor:
        device, dtype = x.device, compute_dtype(x)
        # Widths and heights [S]: of one area at every ratio.
        scales = torch.tensor(self.scales, device=device, dtype=dtype)
        heights = torch.tensor(self.ratios, device=device, dtype=dtype).sqrt()
        w = (stride * (1 / heights)[:, None] * scales).reshape(-1)
        h = (stride * heights[:, None] * scales).reshape(-1)
        # Corners relative to the center, [S, 4].
        relative = torch.stack([-w, -h, w, h], 1) / 2
        # Centers, as both corners: [H_l * W_l, 1, 4].
        rows, columns = x.shape[-2:]
        center_y, center_x = torch.meshgrid(
            torch.arange(rows, device=device, dtype=dtype) * stride,
            torch.arange(columns, device=device, dtype=dtype) * stride,
            indexing="ij",
        )
        centers = torch.stack([center_x, center_y, center_x, center_y], -1).reshape(-1, 1, 4)
        return (centers + relative).reshape(-1, 4)
