"""A teacher's map in fewer bytes, and back."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

DType = Literal["fp8", "bf16", "fp32"]
Packed = dict[str, Tensor]

_DTYPES = {"fp8": torch.float8_e4m3fn, "bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class Packing:
    """How maps ``[B, C, H, W]`` are stored.

    Args:
        dtype: ``fp32``: as they are. ``bf16``: 8 significant bits. ``fp8`` (e4m3): the distance from the channel's
            mean, in units of 1/448 of the largest one: off by at most 1/16 of itself, or 2^-10 units where it is tiny.
        top_k: channels kept at each position, 0 for all. The others share what they have in common: each becomes the
            logarithm of the mean of their exponentials, so that the softmax of those kept is that of the whole.
    """

    dtype: DType
    top_k: int = 0

    def pack(self, x: Tensor) -> Packed:
        """Return the parts, each ``[B, ...]`` and channels-last, as maps are in training."""
        x = x.float().movedim(1, -1)
        packed = {}
        if self.top_k:
            values, index = x.topk(self.top_k, -1)
            others = x.scatter(-1, index, -math.inf).logsumexp(-1, keepdim=True)
            packed["index"] = index.to(torch.uint8 if x.shape[-1] <= 256 else torch.int16)
            x = torch.cat([values, others - math.log(x.shape[-1] - self.top_k)], -1)
        if self.dtype == "fp8":
            places = tuple(range(1, x.ndim - 1))
            packed["center"] = x.mean(places, keepdim=True)
            x = x - packed["center"]
            furthest = x.abs().amax(places, keepdim=True).clamp(min=torch.finfo(torch.float32).tiny * 448)
            packed["unit"] = furthest / torch.finfo(torch.float8_e4m3fn).max
            x = x / packed["unit"]
        packed["values"] = x.to(_DTYPES[self.dtype]).contiguous()
        return packed


def unpack(packed: Mapping[str, Tensor], channels: int) -> Tensor:
    """Return the map ``[B, channels, H, W]`` in float32, channels-last."""
    x = packed["values"].float()
    if "unit" in packed:
        x = x * packed["unit"] + packed["center"]
    if "index" in packed:
        others = x[..., -1:].expand(*x.shape[:-1], channels)
        x = others.scatter(-1, packed["index"].long(), x[..., :-1])
    return x.movedim(-1, 1)


class CachedTeacher(nn.Module):
    """Stands in for a teacher that is not run: its tensors travel with the batch.

    Args:
        channels: of each tap.
    """

    def __init__(self, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.channels = dict(channels)

    def forward(self, teacher_features: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return ``{path: tensor}`` from the packed maps of a batch."""
        return {path: unpack(teacher_features[path], channels) for path, channels in self.channels.items()}
