"""Anchors: the boxes that a dense head starts from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Anchors:
    """Boxes of several shapes around every position of every level.

    Args:
        strides: of the levels.
        scales: side of a square anchor in strides.
        ratios: height over width; scales vary fastest.
    """

    strides: tuple[int, ...]
    scales: tuple[float, ...]
    ratios: tuple[float, ...] = (1.0,)

    @property
    def shapes(self) -> int:
        """Return the number of anchors at a position."""
        return len(self.scales) * len(self.ratios)

    def __call__(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return the anchors of each level, ``[H_l * W_l * shapes, 4]``: row by row, the shapes of a position together.

        Args:
            maps: ``[B, C, H_l, W_l]`` of each level, for sizes and device. Position (0, 0) lies at the corner of the
                image, not half a stride inside.
        """
        return [self._level(x, stride) for x, stride in zip(maps, self.strides, strict=True)]

    def _level(self, x: Tensor, stride: int) -> Tensor:
        like: dict[str, Any] = {"device": x.device, "dtype": torch.promote_types(x.dtype, torch.float32)}
        scales, heights = torch.tensor(self.scales, **like), torch.tensor(self.ratios, **like).sqrt()
        w = (stride * (1 / heights)[:, None] * scales).reshape(-1)
        h = (stride * heights[:, None] * scales).reshape(-1)
        around = torch.stack([-w, -h, w, h], 1) / 2
        rows, columns = (torch.arange(n, **like) * stride for n in x.shape[-2:])
        y, x = torch.meshgrid(rows, columns, indexing="ij")
        at = torch.stack([x, y, x, y], -1).reshape(-1, 1, 4)
        return (at + around).reshape(-1, 4)
