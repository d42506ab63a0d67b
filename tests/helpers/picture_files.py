"""Picture files of any depth and kind, as bytes, written without the reader that is tested."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

ORIENTATION = 0x0112
# How stored pixels become what a viewer shows: EXIF 2.3, the table of tag 274.
SHOWN = {
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: np.rot90(stored, 2).swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """Encode a picture of Pillow."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def with_orientation(picture: Image.Image, kind: str, orientation: int, **options: Any) -> bytes:
    """Encode a picture with an EXIF orientation."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(picture, kind, exif=exif, **options)


def png(values: np.ndarray, bits: int, color: int, *more: tuple[bytes, bytes]) -> bytes:
    """Write a PNG of any depth.

    Args:
        values: ``[H, W]`` or ``[H, W, C]``, whole numbers of ``bits`` bits.
        bits: 1, 2, 4, 8 or 16 a channel.
        color: 0 gray, 2 RGB, 3 palette, 4 gray with alpha, 6 RGB with alpha.
        more: further chunks before the pixels.
    """
    height, width = values.shape[:2]
    rows = b""
    for row in values.reshape(height, -1):
        # Every row begins with its filter, none.
        rows += b"\0" + packed(row, bits)
    header = struct.pack(">IIBBBBB", width, height, bits, color, 0, 0, 0)
    chunks = [(b"IHDR", header), *more, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*one) for one in chunks)


def packed(row: np.ndarray, bits: int) -> bytes:
    """Pack whole numbers of some bits, the highest bit first, to whole bytes."""
    places = np.arange(bits - 1, -1, -1)
    return np.packbits(((row.astype(np.int64)[:, None] >> places) & 1).ravel().astype(np.uint8)).tobytes()


def tiff(
    values: np.ndarray, bits: int, photometric: int = 1, extra: tuple[int, ...] = (), numbers: int = 1, order: str = "<"
) -> bytes:
    """Write an uncompressed TIFF of one strip.

    Args:
        values: ``[H, W]`` or ``[H, W, C]``; floats of 32 bits where ``numbers`` is 3.
        bits: a channel.
        photometric: 0 white is zero, 1 black is zero, 2 RGB, 5 CMYK.
        extra: meaning of the bands beyond the colors: 0 unspecified, 2 alpha.
        numbers: 1 whole, 2 signed, 3 floats.
        order: of bytes, ``<`` or ``>``.
    """
    height, width = values.shape[:2]
    bands = values.shape[2] if values.ndim == 3 else 1
    if numbers == 3 or bits == 16:
        pixels = values.astype(f"{order}{'f4' if numbers == 3 else 'u2'}").tobytes()
    else:
        pixels = b"".join(packed(row, bits) for row in values.reshape(height, -1))
    tags = [
        (256, 4, (width,)), (257, 4, (height,)), (258, 3, (bits,) * bands), (259, 3, (1,)), (262, 3, (photometric,)),
        (273, 4, (8,)), (277, 3, (bands,)), (278, 4, (height,)), (279, 4, (len(pixels),)), (338, 3, extra),
        (339, 3, (numbers,) * bands),
    ]  # fmt: skip
    return _with_directory(pixels + b"\0" * (len(pixels) % 2), [tag for tag in tags if tag[2]], order)


def _with_directory(pixels: bytes, tags: list[tuple[int, int, tuple[int, ...]]], order: str) -> bytes:
    """Put header, pixels and the directory of tags together."""
    place = 8 + len(pixels)
    behind = place + 2 + 12 * len(tags) + 4
    entries, long = struct.pack(f"{order}H", len(tags)), b""
    for number, kind, values in tags:
        content = struct.pack(f"{order}{len(values)}{'H' if kind == 3 else 'I'}", *values)
        # Four bytes fit into the entry; more lie behind the directory.
        if len(content) > 4:
            long, content = long + content, struct.pack(f"{order}I", behind + len(long))
        entries += struct.pack(f"{order}HHI", number, kind, len(values)) + content.ljust(4, b"\0")
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(f"{order}I", place) + pixels + entries + struct.pack(f"{order}I", 0) + long


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
