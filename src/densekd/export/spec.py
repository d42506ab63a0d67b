"""Signature of an exported graph: one input, named outputs, layouts, ranges; as ``model.json`` says them."""

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

InputKind = Literal["float", "uint8"]
Precision = Literal["fp32", "fp16", "int8"]
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
# What a graph may return, by the task's name; the first is the default.
OUTPUTS: dict[str, tuple[str, ...]] = {
    "segmentation": ("logits", "scores", "labels"),
    "detection": ("boxes", "raw"),
    "depth": ("depth",),
}
# Batch that a graph of any batch is exported with: 1 would be taken for a constant.
_EXAMPLE_BATCH = 2


@dataclass(frozen=True)
class GraphInput:
    """The picture that a graph takes.

    Args:
        size: height and width.
        batch: pictures at once, or ``dynamic``.
        kind: ``float``: RGB in [0, 1], ``[B, 3, H, W]``; ``uint8``: pixels as they are decoded,
            ``[B, H, W, 3]``.
        bands: channels of the picture.
    """

    size: tuple[int, int]
    batch: int | Literal["dynamic"] = 1
    kind: InputKind = "float"
    bands: int = 3

    name = "image"

    @property
    def layout(self) -> Literal["NCHW", "NHWC"]:
        """Order of the dimensions."""
        return "NCHW" if self.kind == "float" else "NHWC"

    @property
    def batch_size(self) -> int:
        """Pictures of the example that a graph is exported with."""
        return self.batch if isinstance(self.batch, int) else _EXAMPLE_BATCH

    def shape(self, batch: int) -> tuple[int, ...]:
        """Return the shape of so many pictures."""
        if self.kind == "float":
            return (batch, self.bands, *self.size)
        return (batch, *self.size, self.bands)

    def random(self, batch: int, seed: int) -> Tensor:
        """Draw pictures of noise, the same ones for a seed."""
        generator = torch.Generator().manual_seed(seed)
        pixels = torch.randint(0, 256, self.shape(batch), generator=generator, dtype=torch.uint8)
        return pixels.float() / 255 if self.kind == "float" else pixels

    def of_pictures(self, images: Tensor) -> Tensor:
        """Turn float RGB in [0, 1] ``[B, 3, H, W]`` into what the graph takes."""
        if self.kind == "float":
            return images.float().contiguous()
        return (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()

    def to_json(self) -> dict[str, Any]:
        """Return what ``model.json`` says of the input."""
        shape: list[int | str] = list(self.shape(self.batch_size))
        shape[0] = self.batch
        values = [0.0, 1.0] if self.kind == "float" else [0, 255]
        channels = "RGB" if self.bands == 3 else f"{self.bands} bands"
        dtype = "float32" if self.kind == "float" else "uint8"
        return {
            "name": self.name,
            "shape": shape,
            "size": list(self.size),
            "dtype": dtype,
            "layout": self.layout,
            "range": values,
            "channels": channels,
        }


@dataclass(frozen=True)
class GraphOutput:
    """One array that a graph returns.

    Args:
        name: of the array.
        shape: for one picture, the batch first.
        dtype: ``float32``, ``uint8`` or ``int32``.
        meaning: of its values, a sentence.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    meaning: str

    def to_json(self, batch: int | str) -> dict[str, Any]:
        """Return what ``model.json`` says of the output."""
        return {"name": self.name, "shape": [batch, *self.shape[1:]], "dtype": self.dtype, "meaning": self.meaning}
