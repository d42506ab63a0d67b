"""Decompression with a limit: a few bytes of zlib may stand for any number of them."""

import zlib

# What a compressed part of an annotation file holds at most.
MOST_BYTES = 100_000_000


def inflate(content: bytes) -> bytes:
    """Decompress data of zlib or gzip.

    Raises:
        ValueError: damaged data, or more than ``MOST_BYTES``.
    """
    # 32 added: either head is known by itself.
    machine = zlib.decompressobj(zlib.MAX_WBITS + 32)
    try:
        found = machine.decompress(content, MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"damaged compressed data ({error})") from error
    if machine.unconsumed_tail:
        raise ValueError(f"its compressed data is larger than {MOST_BYTES // 1_000_000} MB when unpacked")
    if not machine.eof:
        raise ValueError("its compressed data breaks off")
    return found
