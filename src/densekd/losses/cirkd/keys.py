"""What an image adds to the memory of CIRKD: pixels of its classes, and their means."""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

from densekd.ops.unit import unit

Enqueue = Literal["class", "as_released"]


@dataclass(frozen=True)
class ClassKeys:
    """How the keys of an image are chosen.

    Args:
        num_classes: C; label C is void.
        update: pixels of each class at most, n.
        enqueue: see :class:`densekd.losses.cirkd.memory.CIRKDMemory`.

    Raises:
        ValueError: an unknown choice.
    """

    num_classes: int
    update: int
    enqueue: Enqueue

    def __post_init__(self) -> None:
        if self.enqueue not in get_args(Enqueue):
            raise ValueError(f"'{self.enqueue}' is not one of {', '.join(get_args(Enqueue))}")

    def __call__(self, features: Tensor, labels: Tensor, shuffled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the pixels of each class ``[B, C]`` (int64), their unit mean ``[B, C, D]``, and keys ``[B, C, n, D]``.

        Where a class has fewer than n pixels, the keys that follow them mean nothing.

        Args:
            features: ``[B, P, D]``.
            labels: int64 ``[B, P]`` in ``0 .. C``.
            shuffled: a permutation of the pixels of each image, ``[B, P]``.
        """
        B, _, D = features.shape
        member = (labels[:, None] == torch.arange(self.num_classes, device=labels.device)[:, None]).to(features.dtype)
        count = member.sum(2).long()
        chosen = self._positions(labels, count, shuffled)[..., None].expand(-1, -1, D)
        return count, unit(member @ features, 2), features.gather(1, chosen).view(B, self.num_classes, self.update, D)

    def _positions(self, labels: Tensor, count: Tensor, shuffled: Tensor) -> Tensor:
        """Choose pixels of every class without replacement; return their positions ``[B, C n]`` in the map."""
        P, n = labels.shape[1], self.update
        first = count.cumsum(1) - count
        places = (first[..., None] + torch.arange(n, device=labels.device)).clamp(max=P - 1).flatten(1)
        # Stable: within a class the shuffled order stays.
        chosen = shuffled.gather(1, labels.gather(1, shuffled).argsort(dim=1, stable=True)).gather(1, places)
        if self.enqueue == "class":
            return chosen
        number = labels.argsort(dim=1, stable=True).argsort(1).gather(1, chosen) - first.repeat_interleave(n, 1)
        return number.clamp(min=0)
