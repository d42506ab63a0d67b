"""Bilinear resizing of quantized maps whose sums are exact, so that engines and torch round the same way."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from densekd.ops.interpolation import source_indices

# Weights are multiples of one over this: with 8 bits of a map, two axes of 6 bits fit float32's 24.
_PARTS = 64


class ExactResizing(TorchFunctionMode):
    """A context in which bilinear resizing has weights that float32 multiplies and adds exactly.

    Where the weights are multiples of 1/64 anyway, as for twice the size, nothing is changed. Elsewhere they are
    rounded to such multiples, and resizing becomes a product with two fixed matrices: a value of integers may lie
    between two steps of a grid, and there the last bit of a weight would decide, which engines compute in
    orders of their own.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Sequence[type], args: Any = (), kwargs: Any = None
    ) -> Any:
        """Resize by matrices where that is needed."""
        kwargs = kwargs or {}
        if func is F.interpolate:
            found = _by_matrices(*args, **kwargs)
            if found is not None:
                return found
        return func(*args, **kwargs)


def _by_matrices(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor | None:
    """Return a resized map; None where the usual way is as good. Arguments as of ``F.interpolate``."""
    if mode != "bilinear" or antialias or scale_factor is not None or input.ndim != 4:
        return None
    target = (size, size) if isinstance(size, int) else tuple(int(side) for side in size)
    source = (int(input.shape[2]), int(input.shape[3]))
    axes = [_axis(*sides, bool(align_corners)) for sides in zip(source, target, strict=True)]
    if not any(rounded for _, rounded in axes):
        return None
    rows, columns = (torch.tensor(weights, dtype=input.dtype, device=input.device) for weights, _ in axes)
    return rows @ input @ columns.T


@lru_cache(maxsize=64)
def _axis(source: int, target: int, align_corners: bool) -> tuple[list[list[float]], bool]:
    """Return the weights of an axis ``[target, source]``, and whether they had to be rounded."""
    matrix = [[0.0] * source for _ in range(target)]
    rounded = False
    for row, (lower, upper, weight) in enumerate(source_indices(source, target, align_corners)):
        near = round(weight * _PARTS) / _PARTS
        rounded = rounded or near != weight
        matrix[row][lower] += 1 - near
        matrix[row][upper] += near
    return matrix, rounded
