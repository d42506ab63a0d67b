"""Bilinear interpolation, whole or row by row without holding the upsampled map."""

# C channels, R rows of a block
# h, w height and width of the map; H, W height and width after upsampling

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

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


class Run(NamedTuple):
    """Neighbouring rows of a result that lie between the same two source rows.

    Args:
        lower: the source row above them.
        upper: the source row below them; the same where the map ends.
        at: where the rows are in their block.
        of_lower: weight of ``lower`` in each of the rows, ``[rows, 1, 1]``.
        of_upper: weight of ``upper``; the two add to 1.
    """

    lower: int
    upper: int
    at: slice
    of_lower: Tensor
    of_upper: Tensor


@lru_cache(maxsize=256)
def _runs(source: int, upsample: Upsample, block: range, dtype: torch.dtype) -> list[Run]:
    """Split the rows of ``block`` by the two source rows that they are blended from."""
    indices = source_indices(source, upsample.size[0], upsample.align_corners)
    runs = []
    for (lower, upper), rows in groupby(block, key=lambda y: indices[y][:2]):
        ys = list(rows)
        at = slice(ys[0] - block.start, ys[-1] + 1 - block.start)
        of_upper = torch.tensor([indices[y][2] for y in ys], dtype=torch.float64)[:, None, None]
        runs.append(Run(lower, upper, at, (1 - of_upper).to(dtype), of_upper.to(dtype)))
    return runs


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
        # Source row -> that row resized along x, [C, W].
        self.resized: dict[int, Tensor] = {}

    def read(self, block: range, out: Tensor) -> Tensor:
        """Fill ``out [R, C, W]`` with the rows of ``block``, R of them; blocks come in order."""
        runs = _runs(self.x.shape[1], self.upsample, block, out.dtype)
        self._resize(sorted({k for run in runs for k in (run.lower, run.upper)}), out.dtype)
        # Interpolate along y: all rows between two source rows at once.
        for run in runs:
            torch.lerp(self.resized[run.lower], self.resized[run.upper], run.of_upper, out=out[run.at])
        return out

    def _resize(self, rows: list[int], dtype: torch.dtype) -> None:
        """Hold the source rows ``rows``, resized along x, and no other ones."""
        missing = [k for k in rows if k not in self.resized]
        self.resized = {k: self.resized[k] for k in rows if k in self.resized}
        if not missing:
            return
        # [K, C, w]
        narrow = self.x[:, missing].transpose(0, 1).to(dtype, memory_format=torch.contiguous_format) * self.factor
        width = self.upsample.size[1:]
        wide = torch.ops.aten.upsample_linear1d(narrow, width, self.upsample.align_corners)
        self.resized.update(zip(missing, wide, strict=True))


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
        # Backward along y: rows between two source rows add to both.
        for run in _runs(self.grad.shape[1], self.upsample, block, rows.dtype):
            between = rows[run.at]
            self._accumulate(run.lower, (between * run.of_lower).sum(0))
            self._accumulate(run.upper, (between * run.of_upper).sum(0))
        # Backward along x for source rows that later blocks no longer reach.
        following = block[-1] + 1
        unfinished = self.grad.shape[1]
        if following < self.upsample.size[0]:
            unfinished = self.indices[following][0]
        self._finish([k for k in self.accumulated if k < unfinished])

    def _accumulate(self, k: int, row: Tensor) -> None:
        if k in self.accumulated:
            self.accumulated[k].add_(row)
        else:
            self.accumulated[k] = row

    def _finish(self, rows: list[int]) -> None:
        """Bring the accumulated gradients of the source rows ``rows`` to their place."""
        if not rows:
            return
        # [K, C, W] -> [K, C, w]
        wide = torch.stack([self.accumulated.pop(k) for k in rows])
        shape = (*wide.shape[:2], self.grad.shape[2])
        backward = torch.ops.aten.upsample_linear1d_backward
        narrow = backward(wide, self.upsample.size[1:], shape, self.upsample.align_corners)
        self.grad[:, rows] = narrow.transpose(0, 1).to(self.grad.dtype)
