"""What the kernels of enlarged maps share: where label pixels lie in a map, and the map's values there.

A label pixel lies in a cell ``(i, j)`` between rows i, i + 1 and columns j, j + 1 of the student's map. A program owns
a row of cells: the derivative of all label pixels in a cell goes to its four corners and is added up on the chip first.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from densekd.ops.interpolation import Upsample, neighbours


class Axis(NamedTuple):
    """One axis of an enlargement.

    Args:
        first: int32 ``[wanted]``: the old place before each new one.
        share: float32 ``[wanted]``: that of the old place behind it.
        begin: int32 ``[source + 1]``: the first new place of each cell.
        most: new places of a cell at most.
    """

    first: Tensor
    share: Tensor
    begin: Tensor
    most: int


@lru_cache(maxsize=64)
def axis(source: int, wanted: int, align_corners: bool, device: torch.device) -> Axis:
    """Return the tables of one axis, which stay on the device."""
    places = neighbours(source, wanted, align_corners)
    first = torch.tensor([place[0] for place in places])
    begin = torch.searchsorted(first, torch.arange(source + 1))
    share = torch.tensor([place[2] for place in places], dtype=torch.float32)
    tables = [x.to(device) for x in (first.int(), share, begin.int())]
    return Axis(tables[0], tables[1], tables[2], int(begin.diff().max()))


def axes(x: Tensor, to: Upsample) -> tuple[Axis, Axis]:
    """Return the tables of both axes of a map ``[B, C, h, w]``."""
    rows, columns = (axis(n, m, to.align_corners, x.device) for n, m in zip(x.shape[2:], to.size, strict=True))
    return rows, columns


@triton.jit
def corners(x, b, c, C, i, j, h, w, xb, xc, xh, xw, inside):  # type: ignore
    """Return the four corners ``[c, j]`` of cells, in float32."""
    at = x + b * xb + c[:, None].to(tl.int64) * xc
    above, below = i * xh, tl.minimum(i + 1, h - 1) * xh
    left, right = (j * xw)[None, :], (tl.minimum(j + 1, w - 1) * xw)[None, :]
    mask = (c < C)[:, None] & inside[None, :]
    return (
        tl.load(at + above + left, mask=mask, other=0.0).to(tl.float32),
        tl.load(at + above + right, mask=mask, other=0.0).to(tl.float32),
        tl.load(at + below + left, mask=mask, other=0.0).to(tl.float32),
        tl.load(at + below + right, mask=mask, other=0.0).to(tl.float32),
    )


@triton.jit
def between(v00, v01, v10, v11, down, right):  # type: ignore
    """Return the values inside cells; ``down`` and ``right`` are shares."""
    above = v00 + (v01 - v00) * right
    below = v10 + (v11 - v10) * right
    return above + (below - above) * down


@triton.jit
def spread(pull, down, right, g00, g01, g10, g11):  # type: ignore
    """Add what a value inside cells passes on to their four corners: the adjoint of :func:`between`."""
    below = pull * down
    above = pull - below
    return g00 + above * (1 - right), g01 + above * right, g10 + below * (1 - right), g11 + below * right


@triton.jit
def scatter(d, g00, g01, g10, g11, b, c, C, i, j, h, w, inside):  # type: ignore
    """Add to the four corners of cells; ``d [B, C, h, w]`` is contiguous and float32."""
    at = d + (b * C + c[:, None].to(tl.int64)) * h * w
    above, below = i * w, tl.minimum(i + 1, h - 1) * w
    left, right = j[None, :], tl.minimum(j + 1, w - 1)[None, :]
    mask = (c < C)[:, None] & inside[None, :]
    tl.atomic_add(at + above + left, g00, mask=mask)
    tl.atomic_add(at + above + right, g01, mask=mask)
    tl.atomic_add(at + below + left, g10, mask=mask)
    tl.atomic_add(at + below + right, g11, mask=mask)


@triton.jit
def values_at(  # type: ignore
    x, b, c, C, py, px, row, down, column, right, h, w, xb, xc, xh, xw, row_inside, inside
):
    """Return a map's values ``[c, px]`` at pixels of one row of its enlargement."""
    i, dy = tl.load(row + py, mask=row_inside, other=0), tl.load(down + py, mask=row_inside, other=0.0)
    j, dx = tl.load(column + px, mask=inside, other=0), tl.load(right + px, mask=inside, other=0.0)
    v00, v01, v10, v11 = corners(x, b, c, C, i, j, h, w, xb, xc, xh, xw, inside)
    return between(v00, v01, v10, v11, dy, dx[None, :])
