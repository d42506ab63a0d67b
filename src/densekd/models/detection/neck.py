"""Neck of the detectors: feature pyramid network (FPN; Lin et al., CVPR 2017, arXiv 1612.03144)."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.ops.precision import without_autocast

Extra = Literal["on_input", "on_output", "pool"]


class FPN(nn.Module):
    """Feature pyramid: bring maps to one width, add coarse ones to finer ones, append levels.

    Args:
        inputs: channels of the maps, finest first; their strides double.
        channels: of every level.
        levels: how many come out.
        extra: how the levels beyond the maps are made: by 3x3 convolutions of stride 2, the first
            on the last map (``on_input``, RetinaNet) or on the last level (``on_output``, GFL), or
            by leaving out every other position (``pool``, Faster R-CNN).

    Shape:
        list of maps -> list of levels ``[B, channels, H_l, W_l]``, finest first.
    """

    def __init__(self, inputs: list[int], channels: int, levels: int, extra: Extra) -> None:
        super().__init__()
        self.extra = extra
        self.levels = levels
        self.lateral = nn.ModuleList(nn.Conv2d(width, channels, 1) for width in inputs)
        self.output = nn.ModuleList(nn.Conv2d(channels, channels, 3, padding=1) for _ in inputs)
        self.coarser = nn.ModuleList()
        if extra != "pool":
            width = inputs[-1] if extra == "on_input" else channels
            for _ in range(levels - len(inputs)):
                self.coarser.append(nn.Conv2d(width, channels, 3, stride=2, padding=1))
                width = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """Return the levels."""
        maps = [lateral(x) for lateral, x in zip(self.lateral, features, strict=True)]
        # Top-down pathway: each map is added to the next finer one.
        for k in range(len(maps) - 1, 0, -1):
            size = maps[k - 1].shape[-2:]
            maps[k - 1] = maps[k - 1] + F.interpolate(maps[k], size=size, mode="nearest")
        levels = [conv(x) for conv, x in zip(self.output, maps, strict=True)]
        # Levels beyond the backbone's maps, each from the one before.
        x = features[-1] if self.extra == "on_input" else levels[-1]
        for conv in self.coarser:
            x = _coarser(conv, x)
            levels.append(x)
        while len(levels) < self.levels:
            levels.append(F.max_pool2d(levels[-1], 1, stride=2))
        return levels


def _coarser(conv: nn.Module, x: Tensor) -> Tensor:
    """Run a convolution of stride 2, in float32 where a processor's mixed precision would spoil its gradient.

    Of a map one column wide oneDNN leaves parts of the weight's gradient in bf16 as they lay in memory
    (torch 2.11; on processors that multiply in bf16): NaN, or numbers that differ from run to run.
    """
    if torch.is_autocast_enabled("cpu") and x.device.type == "cpu" and x.shape[-1] == 1:
        with without_autocast("cpu"):
            return conv(x.to(conv.get_parameter("weight").dtype))  # type: ignore[no-any-return]
    return conv(x)  # type: ignore[no-any-return]
