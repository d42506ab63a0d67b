"""Adaptive average pooling as two products with fixed matrices and a division, which every engine can do."""

import torch
from torch import Tensor, nn

from densekd.models.blocks import cell_sums
from densekd.quantize.grid import FakeQuantizer
from densekd.quantize.layers import quantize_output


class FixedPooling(nn.Module):
    """Average a map in cells as ``nn.AdaptiveAvgPool2d`` does, see :func:`densekd.models.blocks.average_cells`.

    Args:
        cells: down and across.

    Shape:
        ``[B, C, H, W]`` -> ``[B, C, *cells]``.
    """

    def __init__(self, cells: tuple[int, int]) -> None:
        super().__init__()
        self.cells = cells
        # Constants of a graph: some engines cannot compute them. Made for the size that comes.
        self.register_buffer("rows", torch.empty(0, 0), persistent=False)
        self.register_buffer("columns", torch.empty(0, 0), persistent=False)
        self.register_buffer("divisor", torch.empty(0, 0), persistent=False)
        self.rows: Tensor
        self.columns: Tensor
        self.divisor: Tensor

    def forward(self, features: Tensor) -> Tensor:
        """Return the cells."""
        height, width = int(features.shape[2]), int(features.shape[3])
        if (self.rows.shape[1], self.columns.shape[1]) != (height, width):
            rows, heights = cell_sums(height, self.cells[0])
            columns, widths = cell_sums(width, self.cells[1])
            self.rows, self.columns = rows.to(features), columns.to(features)
            self.divisor = (heights[:, None] * widths).to(features)
        return self.rows @ features @ self.columns.T / self.divisor


def fix_pooling(module: nn.Module, exact: bool = False) -> None:
    """Replace adaptive average pooling inside a module, which is changed.

    Args:
        module: whose parts are replaced.
        exact: whether a mean of integers is rounded once; else pooling to one cell stays a mean of the engine.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, nn.AdaptiveAvgPool2d):
            setattr(module, name, _on_grid_of(child, _fixed(child, exact)))
        else:
            fix_pooling(child, exact)


def _fixed(pooling: nn.AdaptiveAvgPool2d, exact: bool) -> nn.Module:
    size = pooling.output_size
    if not isinstance(size, tuple):
        size = (size, size)
    down, across = size
    # None stands for the map's own side: there is no fixed matrix.
    if down is None or across is None:
        return pooling
    if (down, across) == (1, 1) and not exact:
        return GlobalMean()
    return FixedPooling((down, across))


def _on_grid_of(pooling: nn.Module, fixed: nn.Module) -> nn.Module:
    """Give the output of a pooling module in a quantized model the grid that it had."""
    quantizer = pooling._modules.get("output_quantizer")
    if isinstance(quantizer, FakeQuantizer) and fixed is not pooling:
        quantize_output(fixed, quantizer)
    return fixed


class GlobalMean(nn.Module):
    """Average a map to one cell, ``[B, C, H, W]`` -> ``[B, C, 1, 1]``."""

    def forward(self, features: Tensor) -> Tensor:
        """Return the mean."""
        return torch.mean(features, (2, 3), keepdim=True)
