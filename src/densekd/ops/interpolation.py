"""Bilinear enlargement, row after row: neither the enlarged map nor its gradient is ever held."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.ops.blocks import BLOCK_NUMEL
from densekd.ops.precision import to_float32


def resize(x: Tensor, size: tuple[int, ...], align_corners: bool = False) -> Tensor:
    """Return ``x [B, C, h, w]`` resized bilinearly to ``size``, in its own precision; itself where it has that size."""
    return x if x.shape[2:] == size else F.interpolate(x, size, mode="bilinear", align_corners=align_corners)


@dataclass(frozen=True)
class Upsample:
    """What maps are resized to, bilinearly.

    Args:
        size: (height, width).
        align_corners: as ``F.interpolate`` has it.
    """

    size: tuple[int, int]
    align_corners: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """Return the enlarged map itself, ``[B, C, *size]``, in at least float32."""
        return resize(to_float32(x), self.size, self.align_corners)

    def stripes(self, channels: int) -> Iterator[range]:
        """Cut the rows into stripes that fit the cache."""
        height, width = self.size
        n = max(1, BLOCK_NUMEL // (channels * width))
        return (range(y, min(y + n, height)) for y in range(0, height, n))


@lru_cache(maxsize=64)
def neighbours(source: int, wanted: int, align_corners: bool) -> list[tuple[int, int, float]]:
    """Return for each new place the two old ones it lies between, and the share of the second."""
    places = torch.arange(wanted, dtype=torch.float64)
    if align_corners:
        places *= (source - 1) / (wanted - 1) if wanted > 1 else 0
    else:
        places = ((places + 0.5) * (source / wanted) - 0.5).clamp(min=0)
    first = places.floor().clamp(max=source - 1)
    second = (first + 1).clamp(max=source - 1)
    return list(zip(first.long().tolist(), second.long().tolist(), (places - first).tolist(), strict=True))


class UpsampledRows:
    """Rows of an enlarged map ``[C, h, w]``, from top to bottom.

    Args:
        x: the map.
        to: the enlargement.
        factor: of every value.
    """

    def __init__(self, x: Tensor, to: Upsample, factor: float = 1.0) -> None:
        self.x, self.to, self.factor = x, to, factor
        self.places = neighbours(x.shape[1], to.size[0], to.align_corners)
        self.wide: dict[int, Tensor] = {}

    def read(self, stripe: range, out: Tensor) -> Tensor:
        """Fill ``out [rows, C, W]``."""
        self.wide = {k: row for k, row in self.wide.items() if k >= self.places[stripe[0]][0]}
        for y, row in zip(stripe, out, strict=True):
            first, second, share = self.places[y]
            torch.lerp(self._row(first, row.dtype), self._row(second, row.dtype), share, out=row)
        return out

    def _row(self, k: int, dtype: torch.dtype) -> Tensor:
        if k not in self.wide:
            row = self.x[:, k].to(dtype) * self.factor
            row = torch.ops.aten.upsample_linear1d(row[None], self.to.size[1:], self.to.align_corners)[0]
            self.wide[k] = row
        return self.wide[k]


class UpsampleBackward:
    """Add up what the rows of an enlarged map pass on to the map ``[C, h, w]``, from top to bottom.

    Args:
        slope: is filled with the sums.
        to: the enlargement.
    """

    def __init__(self, slope: Tensor, to: Upsample) -> None:
        self.slope, self.to = slope.zero_(), to
        self.places = neighbours(slope.shape[1], to.size[0], to.align_corners)
        self.wide: dict[int, Tensor] = {}

    def add(self, stripe: range, rows: Tensor) -> None:
        """Pass on ``rows [rows, C, W]``; after the last there is nothing left to do."""
        for y, row in zip(stripe, rows, strict=True):
            first, second, share = self.places[y]
            self._add(first, row, 1 - share)
            self._add(second, row, share)
        done = stripe[-1] + 1
        following = self.places[done][0] if done < self.to.size[0] else self.slope.shape[1]
        for k in [k for k in self.wide if k < following]:
            row = self.wide.pop(k)[None]
            narrow = (1, row.shape[1], self.slope.shape[2])
            row = torch.ops.aten.upsample_linear1d_backward(row, self.to.size[1:], narrow, self.to.align_corners)
            self.slope[:, k] = row[0]

    def _add(self, k: int, row: Tensor, share: float) -> None:
        if k in self.wide:
            self.wide[k].add_(row, alpha=share)
        else:
            self.wide[k] = row * share


def require_one_kind(student: Tensor, teacher: Tensor) -> None:
    """Refuse maps that differ in more than their size.

    Raises:
        ValueError: says both shapes.
    """
    if student.ndim != 4 or teacher.ndim != 4 or student.shape[:2] != teacher.shape[:2]:
        raise ValueError(
            "student and teacher must have one shape but for height and width, "
            f"got {list(student.shape)} and {list(teacher.shape)}"
        )
