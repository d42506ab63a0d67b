"""Checksums of PNG files, which Pillow does not compare with the pixels."""

import struct
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def require_png_checksums(content: bytes) -> None:
    """Compare the CRC-32 of every critical chunk of a PNG with its bytes; other files pass.

    Args:
        content: of the file. One that is cut off is left to the decoder, which says so.

    Raises:
        ValueError: a chunk is not what was written.
    """
    if not content.startswith(_SIGNATURE):
        return
    view, place = memoryview(content), len(_SIGNATURE)
    while place + 12 <= len(content):
        (length,) = struct.unpack_from(">I", content, place)
        end = place + 8 + length
        if end + 4 > len(content):
            return
        kind = content[place + 4 : place + 8]
        # Small letters name what is no pixel and may be left out: texts, times, colors of a screen.
        critical = kind[:1].isupper()
        if critical and zlib.crc32(view[place + 4 : end]) != struct.unpack_from(">I", content, end)[0]:
            part = kind.decode("ascii", "replace")
            raise ValueError(f"damaged: the checksum of its part {part} does not match")
        if kind == b"IEND":
            return
        place = end + 4
