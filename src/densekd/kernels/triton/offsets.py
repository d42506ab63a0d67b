"""Offsets of elements within an image: 32 bits where they suffice, which halves the registers of addresses."""

from collections.abc import Sequence

import triton
import triton.language as tl


def spans_int64(shape: Sequence[int], strides: Sequence[int]) -> bool:
    """Tell whether an offset within an image of any map may pass 2^31.

    Args:
        shape: of the maps, the images first.
        strides: of one map after the other, as many as the shape has axes.
    """
    axes = len(shape)
    for first in range(0, len(strides), axes):
        of_map = strides[first : first + axes]
        # Tiles reach beyond the last element, by less than as many again.
        farthest = sum(2 * length * stride for length, stride in zip(shape[1:], of_map[1:], strict=True))
        if farthest >= 2**31:
            return True
    return False


@triton.jit
def offsets(x, WIDE: tl.constexpr):  # type: ignore
    """Return indices in as many bits as their offsets need."""
    if WIDE:
        x = x.to(tl.int64)
    return x
