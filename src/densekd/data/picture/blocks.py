"""TIFF pictures larger than memory, read by rectangle: only the strips or tiles below it are decoded."""

import io
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import TiffImagePlugin

from densekd.data.picture.decode import decode_picture
from densekd.data.picture.limit import require_size
from densekd.data.picture.opened import opened
from densekd.data.picture.turn import orientation_of

# Tags of TIFF.
_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PLANES = 256, 257, 258, 259, 284
_STRIPS, _STRIP_ROWS, _STRIP_BYTES = 273, 278, 279
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
# Of a block as of the whole: bits, colors, fill order, bands, predictor, palette, extra bands, type of
# numbers, and what JPEG needs.
_KEPT = (_BITS, 262, 266, 277, 317, 320, 338, 339, 347, 529, 530, 532)
# None, LZW, JPEG, Deflate (two numbers), PackBits.
_COMPRESSIONS = (1, 5, 7, 8, 32946, 32773)
# A block of more bytes is no smaller than the picture, for those who count memory.
_LARGEST_BLOCK = 1 << 28
# Rows that are not compressed can be read in parts of about so many bytes.
_PART = 1 << 20
_TOGETHER, _PLAIN = 1, 1


class _Layout(NamedTuple):
    """Where the blocks of a picture lie: strips have its width."""

    size: tuple[int, int]
    block: tuple[int, int]
    offsets: tuple[int, ...]
    lengths: tuple[int, ...]


class PictureBlocks:
    """A TIFF whose rectangles are read from its file, best from top to bottom.

    Decoded blocks are kept until a rectangle begins below them.

    Args:
        path: of the file.

    Raises:
        ValueError: a TIFF that is not read so: one single block, bands in planes, an orientation, or
            another compression; the text says which.
        OSError, SyntaxError: no TIFF.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as stream, opened(stream) as picture:
            if not isinstance(picture, TiffImagePlugin.TiffImageFile):
                raise ValueError("it is no TIFF")
            if orientation_of(picture) != 1:
                raise ValueError("it has an EXIF orientation")
            self._tags: Any = picture.tag_v2
            self._prefix: bytes = picture.tag_v2.prefix
            self._layout = _layout(picture.tag_v2)
        require_size(self._layout.size[::-1])
        self._decoded: dict[int, np.ndarray] = {}

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self._layout.size

    def read(self, y: slice, x: slice) -> np.ndarray:
        """Read a rectangle, uint8 RGB ``[h, w, 3]``, as :func:`decode_picture` decodes the whole.

        Raises:
            OSError, SyntaxError, ValueError: a damaged block.
        """
        height, width = self._layout.block
        rectangle = np.empty((y.stop - y.start, x.stop - x.start, 3), dtype=np.uint8)
        self._free_above(y.start)
        for row in range(y.start // height, (y.stop - 1) // height + 1):
            for column in range(x.start // width, (x.stop - 1) // width + 1):
                block = self._block(row, column)
                # The part of the rectangle that lies on the block.
                top, left = max(y.start, row * height), max(x.start, column * width)
                bottom, right = min(y.stop, (row + 1) * height), min(x.stop, (column + 1) * width)
                rectangle[top - y.start : bottom - y.start, left - x.start : right - x.start] = block[
                    top - row * height : bottom - row * height, left - column * width : right - column * width
                ]
        return rectangle

    def _free_above(self, row: int) -> None:
        """Forget the blocks that end above a row."""
        across = -(-self._layout.size[1] // self._layout.block[1])
        for index in list(self._decoded):
            if (index // across + 1) * self._layout.block[0] <= row:
                del self._decoded[index]

    def _block(self, row: int, column: int) -> np.ndarray:
        """Return a decoded block; those at the border of a picture in tiles are filled up."""
        across = -(-self._layout.size[1] // self._layout.block[1])
        index = row * across + column
        if index not in self._decoded:
            self._decoded[index] = self._decode(index, row)
        return self._decoded[index]

    def _decode(self, index: int, row: int) -> np.ndarray:
        """Decode a block as a TIFF of its own."""
        height, width = self._layout.block
        # The last strip is shorter, a tile is not.
        if _TILES not in self._tags:
            height = min(height, self._layout.size[0] - row * height)
        with self._path.open("rb") as stream:
            stream.seek(self._layout.offsets[index])
            content = stream.read(self._layout.lengths[index])
        tags = TiffImagePlugin.ImageFileDirectory_v2(prefix=self._prefix)
        for tag in (_COMPRESSION, *_KEPT):
            if tag in self._tags:
                tags.tagtype[tag] = self._tags.tagtype[tag]
                tags[tag] = self._tags[tag]
        tags[_WIDTH], tags[_HEIGHT], tags[_STRIP_ROWS] = width, height, height
        # Counted from the end of the tags.
        tags[_STRIPS], tags[_STRIP_BYTES] = 0, len(content)
        file = io.BytesIO()
        tags.save(file)
        file.write(content)
        return decode_picture(file.getvalue())


def _layout(tags: Any) -> _Layout:
    """Read where the blocks lie.

    Raises:
        ValueError: they are not read alone.
    """
    size = (int(tags[_HEIGHT]), int(tags[_WIDTH]))
    compression = int(tags.get(_COMPRESSION, 1))
    if compression not in _COMPRESSIONS:
        raise ValueError(f"its compression, number {compression}, is read as a whole")
    if int(tags.get(_PLANES, _TOGETHER)) != _TOGETHER:
        raise ValueError("its bands lie in planes of their own")
    if _TILES in tags:
        block = (int(tags[_TILE_HEIGHT]), int(tags[_TILE_WIDTH]))
        offsets, lengths = tags[_TILES], tags[_TILE_BYTES]
    else:
        block = (min(int(tags.get(_STRIP_ROWS, size[0])), size[0]), size[1])
        offsets, lengths = tags[_STRIPS], tags[_STRIP_BYTES]
        if len(offsets) == 1 and compression == _PLAIN:
            return _cut(size, int(offsets[0]), tags)
    count = -(-size[0] // block[0]) * -(-size[1] // block[1])
    if len(offsets) < count or len(lengths) < count:
        raise ValueError(f"it has {len(offsets)} blocks of {count}")
    if block[0] * block[1] * 3 > _LARGEST_BLOCK:
        raise ValueError(f"it is one block of {block[1]} x {block[0]} pixels, which can only be decoded as a whole")
    return _Layout(size, block, tuple(offsets), tuple(lengths))


def _cut(size: tuple[int, int], start: int, tags: Any) -> _Layout:
    """Cut one strip without compression into strips of a few rows."""
    height, width = size
    bits = width * sum(tags.get(_BITS, (1,)))
    bytes_of_row = -(-bits // 8)
    rows = min(max(1, _PART // bytes_of_row), height)
    tops = range(0, height, rows)
    offsets = tuple(start + top * bytes_of_row for top in tops)
    lengths = tuple(min(rows, height - top) * bytes_of_row for top in tops)
    return _Layout(size, (rows, width), offsets, lengths)
