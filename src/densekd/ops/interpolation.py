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

# Rows of at most so many numbers, channels x width, are blended a block at a time by one matrix
# product on the CPU: a call for each row would take longer than the row. Of 12 x 128 numbers the
# product takes a third of the time, from about 16000 on as long or longer.
_SHORT_ROW = 8192


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


@lru_cache(maxsize=256)
def _row_weights(
    axis: tuple[int, int, bool], block: range, device: torch.device, dtype: torch.dtype
) -> tuple[Tensor, range]:
    """Return the weights ``[R, k]`` of source rows in the rows of a block, and these k source rows.

    Args:
        axis: source length, target length and align_corners.
        block: R consecutive rows of the result.
        device: of the weights.
        dtype: of the weights.
    """
    indices = source_indices(*axis)
    sources = range(indices[block[0]][0], indices[block[-1]][1] + 1)
    weights = torch.zeros(len(block), len(sources), dtype=torch.float64)
    for row, y in zip(weights, block, strict=True):
        lower, upper, weight = indices[y]
        row[lower - sources[0]] += 1 - weight
        row[upper - sources[0]] += weight
    return weights.to(device, dtype), sources


def _is_short(channels: int, upsample: Upsample, device: torch.device) -> bool:
    """Tell whether rows are blended by matrix products; on CUDA these may round to fewer bits."""
    return device.type == "cpu" and channels * upsample.size[1] <= _SHORT_ROW


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
        self.axis = (x.shape[1], upsample.size[0], upsample.align_corners)
        self.indices = source_indices(*self.axis)
        self.short = _is_short(len(x), upsample, x.device)
        # Source row -> that row resized along x, [C, W].
        self.resized: dict[int, Tensor] = {}

    def read(self, block: range, out: Tensor) -> Tensor:
        """Fill ``out [R, C, W]`` with the rows of ``block``, R of them; blocks come in order."""
        if self.short:
            weights, sources = _row_weights(self.axis, block, out.device, out.dtype)
            resized = self._along_x(sources.start, sources.stop, out.dtype)
            torch.mm(weights, resized.flatten(1), out=out.view(len(block), -1))
            return out
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
            # [C, W]
            self.resized[k] = self._along_x(k, k + 1, dtype)[0]
        return self.resized[k]

    def _along_x(self, first: int, end: int, dtype: torch.dtype) -> Tensor:
        """Return source rows ``first`` to ``end`` resized along x, ``[end - first, C, W]``."""
        # [k, C, w]
        rows = (self.x[:, first:end].to(dtype) * self.factor).transpose(0, 1)
        upsample_linear1d = torch.ops.aten.upsample_linear1d
        resized: Tensor = upsample_linear1d(rows.contiguous(), self.upsample.size[1:], self.upsample.align_corners)
        return resized


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
        self.axis = (grad.shape[1], upsample.size[0], upsample.align_corners)
        self.indices = source_indices(*self.axis)
        self.short = _is_short(len(grad), upsample, grad.device)
        # Source row -> its gradient before the step back along x, [C, W].
        self.accumulated: dict[int, Tensor] = {}

    def add(self, block: range, rows: Tensor) -> None:
        """Add the gradient ``rows [R, C, W]`` of the rows of ``block``; the last block completes it."""
        # Backward along y: each row adds to the two source rows around it.
        if self.short:
            weights, sources = _row_weights(self.axis, block, rows.device, rows.dtype)
            sums = torch.mm(weights.T, rows.flatten(1)).view(len(sources), *rows.shape[1:])
            for k, row in zip(sources, sums, strict=True):
                self._accumulate(k, row)
        else:
            for y, row in zip(block, rows, strict=True):
                lower, upper, weight = self.indices[y]
                self._accumulate(lower, row, 1 - weight)
                self._accumulate(upper, row, weight)
        # Backward along x for source rows that later blocks no longer reach.
        following = block[-1] + 1
        unfinished = self.grad.shape[1]
        if following < self.upsample.size[0]:
            unfinished = self.indices[following][0]
        finished = [k for k in self.accumulated if k < unfinished]
        if not self.short:
            for k in finished:
                self.grad[:, k] = self._backward_along_x(self.accumulated.pop(k)[None])[0]
        elif finished:
            # Source rows come in order: those that are finished are a range.
            rows = torch.stack([self.accumulated.pop(k) for k in finished])
            self.grad[:, finished[0] : finished[-1] + 1] = self._backward_along_x(rows).transpose(0, 1)

    def _accumulate(self, k: int, row: Tensor, weight: float = 1.0) -> None:
        if k in self.accumulated:
            self.accumulated[k].add_(row, alpha=weight)
        else:
            self.accumulated[k] = row * weight

    def _backward_along_x(self, rows: Tensor) -> Tensor:
        """Return the gradient ``[k, C, w]`` of source rows from that of their resized rows ``[k, C, W]``."""
        shape = (*rows.shape[:2], self.grad.shape[2])
        width = self.upsample.size[1:]
        backward = torch.ops.aten.upsample_linear1d_backward
        grad: Tensor = backward(rows, width, shape, self.upsample.align_corners)
        return grad
