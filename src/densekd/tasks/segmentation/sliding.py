"""Sliding windows whose averaged logits are read a few rows at a time.

Windows go through the model from top to bottom. Their logits stay at the model's stride, and rows of them
are freed before the next windows are run: memory grows with the width of an image, not with its height.
"""

# B images, C channels
# h, w height and width of a map at the model's stride; H, W those of the image

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from densekd.ops.precision import to_float32

Size = tuple[int, int]
Forward = Callable[[Tensor], Tensor]

# Windows are enlarged once and kept so while a row of them takes at most this.
_ENLARGED_BYTES = 1 << 28
# Channels that are enlarged together where only some rows of the result are wanted.
_CHANNELS = 8
# Logits of windows that go through the model together take at most this, unless one alone takes more.
_BATCH_BYTES = 1 << 26
# torch has another kernel for results whose height and width add up to at most this.
_SMALL = 128


class Window(NamedTuple):
    """Sliding windows.

    Args:
        crop: (height, width) of a window; a smaller image is one window.
        stride: (vertical, horizontal) step; the last window of a row or column is moved back to end
            at the border.
        batch: windows that go through the model together.
    """

    crop: Size
    stride: Size
    batch: int = 4


class Pixels(Protocol):
    """Images that are read by rectangle: in memory, or in a file that is larger than it."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, 3, H, W)."""
        ...

    def crop(self, y: slice, x: slice) -> Tensor:
        """Return a rectangle of all images, float in [0, 1]."""
        ...


class Rows(Protocol):
    """Logits that are read by rows, from top to bottom: no row above one that was asked for before."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, C, height, width)."""
        ...

    @property
    def held(self) -> int:
        """Numbers that are held at once, about."""
        ...

    def rows(self, rows: range) -> Tensor:
        """Return consecutive rows, ``[B, C, len(rows), width]``."""
        ...


class MapRows:
    """Logits in memory."""

    def __init__(self, logits: Tensor) -> None:
        self._logits = logits

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, C, height, width)."""
        B, C, h, w = self._logits.shape
        return B, C, h, w

    @property
    def held(self) -> int:
        """All of them."""
        return self._logits.numel()

    def rows(self, rows: range) -> Tensor:
        """Return consecutive rows."""
        return self._logits[:, :, rows.start : rows.stop]


class MirroredRows:
    """Logits of mirrored images, mirrored back, so that scores of all views agree in place."""

    def __init__(self, source: Rows) -> None:
        self._source = source

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, C, height, width)."""
        return self._source.shape

    @property
    def held(self) -> int:
        """As its source."""
        return self._source.held

    def rows(self, rows: range) -> Tensor:
        """Return consecutive rows."""
        return self._source.rows(rows).flip(3)


class WindowRows:
    """Averaged logits of sliding windows, at the size of the image: ``[B, C, H, W]``, never held whole.

    Args:
        forward: float images -> logits of any stride.
        pixels: the images.
        window: size, step, and windows that go through the model together.
        align_corners: how the logits are enlarged.
    """

    def __init__(self, forward: Forward, pixels: Pixels, window: Window, align_corners: bool) -> None:
        self._forward = forward
        self._pixels = pixels
        self._window = window
        self._align_corners = align_corners
        self._images, _, height, width = pixels.shape
        self._size = (height, width)
        self._places = list(windows(self._size, window))
        self._next = 0
        self._tiles: list[_Tile] = []
        self._across = len(_starts(width, window.crop[1], window.stride[1]))
        down = _counts(height, window.crop[0], window.stride[0])
        across = _counts(width, window.crop[1], window.stride[1])
        self._counts = (down, across)
        # The first window tells how much memory one takes.
        self._run(1)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(B, C, H, W)."""
        return self._images, self._channels, *self._size

    @property
    def held(self) -> int:
        """Numbers of the windows that lie on one row of the image, and of those below them."""
        overlapping = -(-self._window.crop[0] // self._window.stride[0]) + 1
        return self._tile_numel * self._across * overlapping

    @torch.no_grad()
    def rows(self, rows: range) -> Tensor:
        """Return consecutive rows of the average."""
        # Windows that end above are done with.
        self._tiles = [tile for tile in self._tiles if tile.bottom > rows.start]
        if self._is_needed(rows):
            for tile in self._tiles:
                tile.free_above(rows.start)
        while self._is_needed(rows):
            self._run(self._together)
        first = self._tiles[0].logits
        total = first.new_zeros(self._images, self._channels, len(rows), self._size[1])
        for tile in self._tiles:
            tile.add_to(total, rows)
        # How many windows lie on a pixel is a product: they form a grid.
        down, across = self._counts
        count = down[rows.start : rows.stop, None] * across
        return total.div_(count.to(total))

    def _is_needed(self, rows: range) -> bool:
        """Whether the next window lies on one of the rows."""
        return self._next < len(self._places) and self._places[self._next][0].start < rows.stop

    @property
    def _together(self) -> int:
        """How many windows are run next."""
        bytes_of_tile = self._tile_numel * 4
        count = max(1, min(self._window.batch, _BATCH_BYTES // bytes_of_tile))
        # Those of the next row would wait for long, and keep the memory of those beside them.
        if bytes_of_tile * self._across > _BATCH_BYTES:
            count = min(count, self._across - self._next % self._across)
        return count

    @torch.no_grad()
    def _run(self, count: int) -> None:
        """Run the model on the next windows, several of all images together."""
        some = self._places[self._next : self._next + count]
        self._next += len(some)
        images = self._pixels.crop(*some[0])
        if len(some) > 1:
            images = torch.cat([images, *(self._pixels.crop(y, x) for y, x in some[1:])])
        logits = to_float32(self._forward(images))
        del images
        self._channels = logits.shape[1]
        for (y, x), part in zip(some, torch.split(logits, self._images), strict=True):
            tile = _Tile(part, y, x, self._align_corners)
            tile.settle(self._across)
            self._tiles.append(tile)
            self._tile_numel = tile.logits.numel()


class _Tile:
    """Logits of one window, which give rows of its enlarged logits, as ``F.interpolate`` makes them.

    Args:
        logits: ``[B, C, h, w]``.
        y, x: where the window lies.
        align_corners: as ``F.interpolate``'s.
    """

    def __init__(self, logits: Tensor, y: slice, x: slice, align_corners: bool) -> None:
        self.logits = logits
        self.bottom = y.stop
        self._top = y.start
        self._columns = x
        self._align_corners = align_corners
        self._size = (y.stop - y.start, x.stop - x.start)
        self._height = logits.shape[2]
        # Rows of the map that were freed.
        self._freed = 0

    def settle(self, across: int) -> None:
        """Enlarge now what cannot be enlarged by rows, as long as so many windows take little memory."""
        bytes_of_row = across * self.logits[:, :, 0, 0].numel() * self._size[0] * self._size[1] * 4
        if not self._is_full and not self._enlarges_by_rows and bytes_of_row <= _ENLARGED_BYTES:
            self.logits = self._enlarge(self.logits)
            self._height = self._size[0]

    def free_above(self, row: int) -> None:
        """Free what no row of the image from ``row`` on needs."""
        if not self._is_full and not self._enlarges_by_rows:
            return
        factor = self._size[0] // self._height
        # Enlarged rows lie between two of the map.
        needed = max(0, (row - self._top) // factor - 1)
        if needed > self._freed:
            # A copy, since a part of a tensor holds its whole memory.
            self.logits = self._kept(range(needed, self._height)).clone()
            self._freed = needed

    def add_to(self, total: Tensor, rows: range) -> None:
        """Add the rows of the image on which the window lies to ``total [B, C, len(rows), W]``."""
        first, last = max(rows.start, self._top), min(rows.stop, self.bottom)
        if first >= last:
            return
        there = total[:, :, first - rows.start : last - rows.start, self._columns]
        wanted = range(first - self._top, last - self._top)
        if self._is_full:
            there += self._kept(wanted)
        elif self._enlarges_by_rows:
            there += self._enlarged_rows(wanted)
        else:
            # The weights of some rows alone are not quite those of all, so all are made, of few channels.
            for channel in range(0, total.shape[1], _CHANNELS):
                some = slice(channel, channel + _CHANNELS)
                there[:, some] += self._enlarge(self.logits[:, some])[:, :, wanted.start : wanted.stop]

    @property
    def _is_full(self) -> bool:
        """Whether the map has the size of its window."""
        return (self._height, self.logits.shape[3]) == self._size

    def _kept(self, rows: range) -> Tensor:
        """Return rows of the map that were not freed."""
        return self.logits[:, :, rows.start - self._freed : rows.stop - self._freed]

    @property
    def _enlarges_by_rows(self) -> bool:
        """Whether rows alone are bit for bit those of the whole: their weights are exact in binary."""
        h, (H, W) = self._height, self._size
        factor = H // h
        exact = H % h == 0 and factor & (factor - 1) == 0
        one_kernel = _SMALL < W or H + W <= _SMALL
        return exact and one_kernel and not self._align_corners

    def _enlarge(self, logits: Tensor) -> Tensor:
        return F.interpolate(logits, self._size, mode="bilinear", align_corners=self._align_corners)

    def _enlarged_rows(self, rows: range) -> Tensor:
        """Enlarge the rows of the map that the wanted ones lie on, and their neighbors."""
        h, factor = self._height, self._size[0] // self._height
        first = max(0, rows.start // factor - 1)
        last = min(h, (rows.stop - 1) // factor + 2)
        # A slice in the same order in memory goes through the same kernel.
        layout = torch.contiguous_format
        if self.logits.is_contiguous(memory_format=torch.channels_last):
            layout = torch.channels_last
        part = self._kept(range(first, last)).contiguous(memory_format=layout)
        size = ((last - first) * factor, self._size[1])
        enlarged = F.interpolate(part, size, mode="bilinear", align_corners=False)
        return enlarged[:, :, rows.start - first * factor : rows.stop - first * factor]


def windows(size: Size, window: Window) -> Iterator[tuple[slice, slice]]:
    """List the windows that cover an image of ``size``, row by row, as mmsegmentation does."""
    (H, W), (crop_h, crop_w) = size, window.crop
    for top in _starts(H, crop_h, window.stride[0]):
        for left in _starts(W, crop_w, window.stride[1]):
            yield slice(top, min(top + crop_h, H)), slice(left, min(left + crop_w, W))


def _starts(length: int, crop: int, stride: int) -> list[int]:
    """Return where the windows along one side begin.

    The last one is moved back to end at the border.
    """
    steps = max(length - crop + stride - 1, 0) // stride + 1
    return [max(min(k * stride, length - crop), 0) for k in range(steps)]


def _counts(length: int, crop: int, stride: int) -> Tensor:
    """Return how many windows along one side lie on each of its pixels."""
    counts = torch.zeros(length, dtype=torch.int64)
    for start in _starts(length, crop, stride):
        counts[start : start + crop] += 1
    return counts
