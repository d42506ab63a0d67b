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


# Rows of fewer numbers are blended and summed with those beside them: what counts is the number of
# calls. Of longer ones 150 x 512 took 1.3 times as long together, 19 x 1024 1.05 times.
_SHORT_NUMEL = 1 << 14


class RowsBetween(NamedTuple):
    """One row of a result, or neighbouring short ones that lie between the same two source rows.

    Args:
        lower: the source row above them.
        upper: the source row below them; the same where the map ends.
        at: where they are in their block; of one row its index.
        of_lower: weight of ``lower``, in each of several rows ``[rows, 1, 1]``.
        of_upper: weight of ``upper``; the two add to 1.
    """

    lower: int
    upper: int
    at: slice | int
    of_lower: Tensor | float
    of_upper: Tensor | float


@lru_cache(maxsize=1024)
def _rows_between(
    source: int, upsample: Upsample, block: range, channels: int, dtype: torch.dtype, device: torch.device
) -> list[RowsBetween]:
    """Split the rows of ``block``, short ones by the two source rows that they are blended from."""
    indices = source_indices(source, upsample.size[0], upsample.align_corners)
    found = []
    if channels * upsample.size[1] >= _SHORT_NUMEL:
        for k, y in enumerate(block):
            lower, upper, weight = indices[y]
            found.append(RowsBetween(lower, upper, k, 1 - weight, weight))
        return found
    for (lower, upper), rows in groupby(block, key=lambda y: indices[y][:2]):
        ys = list(rows)
        at = slice(ys[0] - block.start, ys[-1] + 1 - block.start)
        of_upper = torch.tensor([indices[y][2] for y in ys], dtype=torch.float64, device="cpu")[:, None, None]
        found.append(RowsBetween(lower, upper, at, (1 - of_upper).to(device, dtype), of_upper.to(device, dtype)))
    return found


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
        found = _rows_between(self.x.shape[1], self.upsample, block, len(self.x), out.dtype, out.device)
        self._resize(found, out.dtype)
        # Interpolate along y: short rows between two source rows at once.
        for between in found:
            torch.lerp(self.resized[between.lower], self.resized[between.upper], between.of_upper, out=out[between.at])
        return out

    def _resize(self, found: list[RowsBetween], dtype: torch.dtype) -> None:
        """Hold the source rows of ``found``, resized along x, and none above them."""
        missing = sorted({k for between in found for k in (between.lower, between.upper) if k not in self.resized})
        if not missing:
            return
        self.resized = {k: row for k, row in self.resized.items() if k >= found[0].lower}
        # [K, C, w]
        narrow = torch.stack([self.x[:, k] for k in missing]).to(dtype).mul_(self.factor)
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
        for between in _rows_between(self.grad.shape[1], self.upsample, block, len(self.grad), rows.dtype, rows.device):
            self._accumulate(between.lower, rows[between.at], between.of_lower)
            self._accumulate(between.upper, rows[between.at], between.of_upper)
        # Backward along x for source rows that later blocks no longer reach.
        following = block[-1] + 1
        unfinished = self.grad.shape[1]
        if following < self.upsample.size[0]:
            unfinished = self.indices[following][0]
        self._finish([k for k in self.accumulated if k < unfinished])

    def _accumulate(self, k: int, rows: Tensor, weight: Tensor | float) -> None:
        """Add one weighted row, or the sum of several, to the gradient of source row k."""
        if isinstance(weight, Tensor):
            rows, weight = (rows * weight).sum(0), 1.0
        if k in self.accumulated:
            self.accumulated[k].add_(rows, alpha=weight)
        else:
            self.accumulated[k] = rows * weight

    def _finish(self, rows: list[int]) -> None:
        """Bring the accumulated gradients of the source rows ``rows`` to their place."""
        if not rows:
            return
        # [K, C, W] -> [K, C, w]
        finished = [self.accumulated.pop(k) for k in rows]
        wide = torch.stack(finished) if len(finished) > 1 else finished[0][None]
        shape = (*wide.shape[:2], self.grad.shape[2])
        backward = torch.ops.aten.upsample_linear1d_backward
        narrow = backward(wide, self.upsample.size[1:], shape, self.upsample.align_corners)
        for k, row in zip(rows, narrow, strict=True):
            self.grad[:, k] = row
