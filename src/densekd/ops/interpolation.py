"""Bilinear interpolation, whole or row by row without holding the upsampled map."""

# C channels, R rows of a block
# h, w height and width of the map; H, W height and width after upsampling

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.ops.blocks import BLOCK_NUMEL
from densekd.ops.precision import to_float32


def resize(x: Tensor, size: tuple[int, ...], align_corners: bool = False) -> Tensor:
    """Return ``x [B, C, h, w]`` resized bilinearly to ``size``, in its own precision.

    A map that has that size is returned itself.
    """
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size, mode="bilinear", align_corners=align_corners)


@dataclass(frozen=True)
class Upsample:
    """Bilinear interpolation to a fixed size.

    Args:
        size: (height, width) of the result.
        align_corners: as in ``F.interpolate``.
    """

    size: tuple[int, int]
    align_corners: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """Return the upsampled map itself, ``[B, C, *size]``, in at least float32."""
        return resize(to_float32(x), self.size, self.align_corners)

    def row_blocks(self, channels: int) -> Iterator[range]:
        """Split the rows of the result into blocks of which ``channels`` maps fit the cache."""
        H, W = self.size
        rows = max(1, BLOCK_NUMEL // (channels * W))
        for first in range(0, H, rows):
            yield range(first, min(first + rows, H))

    def block_rows(self, channels: int) -> int:
        """Return the number of rows of the largest block, the first."""
        return len(next(self.row_blocks(channels)))


@lru_cache(maxsize=64)
def source_indices(source: int, target: int, align_corners: bool) -> list[tuple[int, int, float]]:
    """Return the two source indices around each index of a resized axis, and the upper one's weight.

    Args:
        source: length of the axis.
        target: length after resizing.
        align_corners: as in ``F.interpolate``.
    """
    # Coordinates in the source, as torch computes them for mode="bilinear".
    at = torch.arange(target, dtype=torch.float64)
    if align_corners:
        at *= (source - 1) / (target - 1) if target > 1 else 0
    else:
        at = ((at + 0.5) * (source / target) - 0.5).clamp(min=0)
    lower = at.floor().clamp(max=source - 1)
    upper = (lower + 1).clamp(max=source - 1)
    weight = at - lower
    return list(zip(lower.long().tolist(), upper.long().tolist(), weight.tolist(), strict=True))


class UpsampledRows:
    """Rows of an upsampled map, read from top to bottom without holding the map.

    Interpolation is separable. A source row is resized along x once and kept as long as rows of the
    result lie beside it; a row of the result is the blend of two such rows.

    Args:
        x: the map ``[C, h, w]``.
        upsample: size of the result.
        factor: multiplies every value, for instance 1 / T.
    """

    def __init__(self, x: Tensor, upsample: Upsample, factor: float = 1.0) -> None:
        self.x = x
        self.upsample = upsample
        self.factor = factor
        self.indices = source_indices(x.shape[1], upsample.size[0], upsample.align_corners)
        # Source row -> that row resized along x, [C, W].
        self.resized: dict[int, Tensor] = {}

    def read(self, block: range, out: Tensor) -> Tensor:
        """Fill ``out [R, C, W]`` with the rows of ``block``, R of them; blocks come in order."""
        # Forget source rows above the block.
        lowest = self.indices[block[0]][0]
        self.resized = {k: row for k, row in self.resized.items() if k >= lowest}
        # Interpolate along y between two rows that are resized along x.
        for y, row in zip(block, out, strict=True):
            lower, upper, weight = self.indices[y]
            start, end = self._resized(lower, row.dtype), self._resized(upper, row.dtype)
            torch.lerp(start, end, weight, out=row)
        return out

    def _resized(self, k: int, dtype: torch.dtype) -> Tensor:
        """Return source row k resized along x, ``[C, W]``."""
        if k not in self.resized:
            # [1, C, w]
            row = (self.x[:, k].to(dtype) * self.factor)[None]
            width = self.upsample.size[1:]
            upsample_linear1d = torch.ops.aten.upsample_linear1d
            self.resized[k] = upsample_linear1d(row, width, self.upsample.align_corners)[0]
        return self.resized[k]


class UpsampleBackward:
    """Gradient of upsampling, from rows that arrive from top to bottom.

    The transpose of :class:`UpsampledRows`: gradients are accumulated at full width for each source
    row, and resized back along x when no later row adds to it.

    Args:
        grad: the gradient of the map, ``[C, h, w]``; overwritten.
        upsample: size of the result.
    """

    def __init__(self, grad: Tensor, upsample: Upsample) -> None:
        self.grad = grad.zero_()
        self.upsample = upsample
        self.indices = source_indices(grad.shape[1], upsample.size[0], upsample.align_corners)
        # Source row -> its gradient before the step back along x, [C, W].
        self.accumulated: dict[int, Tensor] = {}

    def add(self, block: range, rows: Tensor) -> None:
        """Add the gradient ``rows [R, C, W]`` of the rows of ``block``; the last block completes it."""
        # Backward along y: each row adds to the two source rows around it.
        for y, row in zip(block, rows, strict=True):
            lower, upper, weight = self.indices[y]
            self._accumulate(lower, row, 1 - weight)
            self._accumulate(upper, row, weight)
        # Backward along x for source rows that later blocks no longer reach.
        following = block[-1] + 1
        unfinished = self.grad.shape[1]
        if following < self.upsample.size[0]:
            unfinished = self.indices[following][0]
        for k in [k for k in self.accumulated if k < unfinished]:
            self.grad[:, k] = self._backward_along_x(self.accumulated.pop(k))

    def _accumulate(self, k: int, row: Tensor, weight: float) -> None:
        if k in self.accumulated:
            self.accumulated[k].add_(row, alpha=weight)
        else:
            self.accumulated[k] = row * weight

    def _backward_along_x(self, row: Tensor) -> Tensor:
        """Return the gradient ``[C, w]`` of a source row from that of its resized row ``[C, W]``."""
        shape = (1, row.shape[0], self.grad.shape[2])
        width = self.upsample.size[1:]
        backward = torch.ops.aten.upsample_linear1d_backward
        grad: Tensor = backward(row[None], width, shape, self.upsample.align_corners)[0]
        return grad
