"""Lookup of 8-bit pixels in a table of all 256 values."""

from collections.abc import Collection

import numpy as np


def looked_up(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return ``table[values]``, without an index for each pixel.

    Args:
        values: uint8 of any shape.
        table: uint8 ``[256]``.
    """
    found = bytearray(np.ascontiguousarray(values)).translate(table.tobytes())
    return np.frombuffer(found, np.uint8).reshape(values.shape)


def holds_only(values: np.ndarray, known: Collection[int]) -> bool:
    """Tell whether all pixels have known values.

    Args:
        values: uint8 of any shape, one pixel at least.
        known: values from 0 to 255.
    """
    # Mostly the known are 0, 1, 2, ... and 255. With a sign 255 is -1, and the two ends decide.
    count = len(known) - 1
    if count <= 128 and set(known) == {*range(count), 255}:
        signed = values.view(np.int8)
        return bool(signed.max() < count and signed.min() >= -1)
    unknown = np.ones(256, np.uint8)
    unknown[list(known)] = 0
    return not looked_up(values, unknown).any()
