"""Compression of teacher features for the cache: fp8 or bf16 values, top-k of the logits."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

DType = Literal["fp8", "bf16", "fp32"]
Packed = dict[str, Tensor]

_DTYPES = {"fp8": torch.float8_e4m3fn, "bf16": torch.bfloat16, "fp32": torch.float32}
_FP8_MAX = torch.finfo(torch.float8_e4m3fn).max  # 448


@dataclass(frozen=True)
class Packing:
    """Storage format of features ``[B, C, H, W]``.

    Args:
        dtype: ``fp32``: as they are. ``bf16``: 8 significant bits. ``fp8`` (e4m3): the distance
            from the channel's mean, in units of 1/448 of the largest one: off by at most 1/16 of
            itself, or 2^-10 units where it is tiny.
        top_k: channels kept at each position, 0 for all. The others share what they have in common:
            each becomes the logarithm of the mean of their exponentials, so that the softmax of
            those kept is that of the whole.
    """

    dtype: DType
    top_k: int = 0

    def pack(self, x: Tensor) -> Packed:
        """Return the parts, each ``[B, ...]`` and channels-last, as features are in training."""
        packed: Packed = {}
        x = x.float().movedim(1, -1)
        if self.top_k:
            x, packed["index"] = self._largest(x)
        if self.dtype == "fp8":
            x, packed["center"], packed["unit"] = _normalized(x)
        packed["values"] = x.to(_DTYPES[self.dtype]).contiguous()
        return packed

    def _largest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keep the largest channels of ``[B, H, W, C]``, and one value for all others.

        Returns ``[B, H, W, k + 1]``, and the channel of each of the k, as small integers.
        """
        channels = x.shape[-1]
        values, index = x.topk(self.top_k, -1)
        # log(mean(exp(others))): the others' share of the softmax stays what it was.
        others = x.scatter(-1, index, -math.inf).logsumexp(-1, keepdim=True)
        others = others - math.log(channels - self.top_k)
        small = torch.uint8 if channels <= 256 else torch.int16
        return torch.cat([values, others], -1), index.to(small)


def _normalized(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Center and scale each channel of ``[B, H, W, C]`` to the range of fp8.

    Returns the normalized features, the centers and the units, these ``[B, 1, 1, C]``.
    """
    places = tuple(range(1, x.ndim - 1))
    center = x.mean(places, keepdim=True)
    x = x - center
    # A constant channel has no spread: the smallest normal number keeps its unit from being zero.
    smallest = torch.finfo(torch.float32).tiny * _FP8_MAX
    unit = x.abs().amax(places, keepdim=True).clamp(min=smallest) / _FP8_MAX
    return x / unit, center, unit


def unpack(packed: Mapping[str, Tensor], channels: int) -> Tensor:
    """Return the features ``[B, channels, H, W]`` in float32, channels-last."""
    x = packed["values"].float()
    if "unit" in packed:
        x = x * packed["unit"] + packed["center"]
    if "index" in packed:
        # Every channel gets the value of the others first, then the k largest get their own.
        others = x[..., -1:].expand(*x.shape[:-1], channels)
        x = others.scatter(-1, packed["index"].long(), x[..., :-1])
    return x.movedim(-1, 1)


class CachedTeacher(nn.Module):
    """Substitute for a teacher that is not run: its features travel with the batch.

    Args:
        channels: of each tap.
    """

    def __init__(self, channels: Mapping[str, int]) -> None:
        super().__init__()
        self.channels = dict(channels)

    def forward(self, teacher_features: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """Return ``{path: features}`` from the packed features of a batch."""
        return {path: unpack(teacher_features[path], channels) for path, channels in self.channels.items()}
