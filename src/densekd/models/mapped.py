"""A teacher that tells other classes apart than the data does."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class ClassMerge(nn.Module):
    """Select and merge classes: the logit of several classes together is the log of their summed exponentials.

    So their probabilities add up, and those of the classes that are selected keep their ratios.

    Args:
        groups: for each class of the result the classes of the input that it consists of.

    Shape:
        ``[B, C, H, W]`` -> ``[B, len(groups), H, W]``.
    """

    def __init__(self, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.groups = tuple(tuple(group) for group in groups)

    def forward(self, logits: Tensor) -> Tensor:
        """Return the merged logits."""
        if all(len(group) == 1 for group in self.groups):
            return logits[:, [group[0] for group in self.groups]]
        return torch.stack([logits[:, list(group)].logsumexp(1) for group in self.groups], 1)


class RemapClasses(nn.Module):
    """A model whose output, and whose tap ``logits``, are in the classes of the data; its other taps are unchanged.

    Args:
        model: the teacher.
        groups: see :class:`ClassMerge`.
    """

    def __init__(self, model: nn.Module, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.model = model
        self.merge = ClassMerge(groups)

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: those of the model, and ``logits`` behind the merge. Other paths begin with ``model.``."""
        return {name: f"model.{path}" for name, path in getattr(self.model, "taps", {}).items()} | {"logits": "merge"}

    @property
    def align_corners(self) -> bool:
        """How the logits are enlarged: as the model's."""
        return bool(getattr(self.model, "align_corners", False))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits in the data's classes."""
        logits: Tensor = self.merge(self.model(images))
        return logits
