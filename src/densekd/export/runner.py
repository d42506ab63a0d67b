"""Run a graph, in torch or in an engine, on pictures of any number and size, and read its outputs as a model's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from densekd.export.spec import GraphInput

# From the input array of a graph to its outputs.
Run = Callable[[np.ndarray], list[np.ndarray]]
# Labels as logits: the class that was found is this far above the others.
_CERTAIN = 30.0


def run_in_torch(module: nn.Module) -> Run:
    """Return the function that runs a module as an engine would run its artefact."""

    def run(array: np.ndarray) -> list[np.ndarray]:
        with torch.inference_mode():
            outputs = module(torch.from_numpy(array))
        return [output.numpy() for output in outputs]

    return run


def run_pictures(run: Run, taken: GraphInput, images: Tensor) -> list[Tensor]:
    """Run pictures of the input's size, as many at once as the graph takes.

    Args:
        run: the graph.
        taken: its input.
        images: float RGB in [0, 1], ``[B, 3, H, W]``.

    Returns:
        the outputs, of all pictures.
    """
    together = taken.batch if isinstance(taken.batch, int) else 1
    parts: list[list[Tensor]] = []
    for part in torch.split(images, together):
        count = len(part)
        if count < together:
            # A graph of a fixed batch is filled up with the last picture.
            part = torch.cat([part, part[-1:].expand(together - count, -1, -1, -1)])
        outputs = run(taken.of_pictures(part).numpy())
        parts.append([torch.from_numpy(np.array(output[:count])) for output in outputs])
    return [torch.cat(together) for together in zip(*parts, strict=True)]


class GraphModel(nn.Module):
    """A graph of maps as a model that the evaluation can score.

    Args:
        run: the graph.
        taken: its input.
        kind: its output.
        num_classes: C.
        align_corners: how its maps are enlarged.

    Shape:
        float RGB in [0, 1] of any size, which is stretched to the input's -> ``[B, C, h, w]``.
    """

    def __init__(self, run: Run, taken: GraphInput, kind: str, num_classes: int, align_corners: bool) -> None:
        super().__init__()
        self._run = run
        self._taken = taken
        self._kind = kind
        self.num_classes = num_classes
        self.align_corners = align_corners

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, or depths."""
        if images.shape[2:] != self._taken.size:
            images = F.interpolate(images, self._taken.size, mode="bilinear", antialias=True)
        (maps,) = run_pictures(self._run, self._taken, images)
        if self._kind == "scores":
            return maps.clamp(min=1e-30).log()
        if self._kind == "labels":
            return F.one_hot(maps.long(), self.num_classes).movedim(3, 1).float() * _CERTAIN
        return maps


def as_float64(array: np.ndarray) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return an array in which differences are exact."""
    return np.asarray(array, np.float64)
