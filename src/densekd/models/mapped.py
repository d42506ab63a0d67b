"""Remap the classes of a teacher that tells other classes apart than the data does."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from densekd.models import contract
from densekd.models.families import Convention


class ClassMerge(nn.Module):
    """Select and merge classes: logits of several together are the log of summed exponentials.

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
        # Where every class comes from one class it is a mere selection, without any rounding.
        if all(len(group) == 1 for group in self.groups):
            return logits[:, [group[0] for group in self.groups]]
        merged = [logits[:, list(group)].logsumexp(1) for group in self.groups]
        return torch.stack(merged, 1)


class RemapClasses(nn.Module):
    """Segmentation model whose output, and tap ``logits``, are in the data's classes.

    Its other taps are unchanged.

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
        """Short tap names: the model's, and ``logits`` after the merge.

        Paths of modules begin with ``model.``.
        """
        names = {name: f"model.{path}" for name, path in contract.taps(self.model).items()}
        names["logits"] = "merge"
        return names

    @property
    def align_corners(self) -> bool:
        """How the logits are resized: as the model's."""
        return contract.align_corners(self.model)

    @property
    def num_classes(self) -> int:
        """The number of the data's classes."""
        return len(self.merge.groups)

    @property
    def convention(self) -> Convention | None:
        """The input convention of the model."""
        return contract.convention(self.model)

    @property
    def auxiliary(self) -> nn.Module | None:
        """The auxiliary head of the model; it may be set to None."""
        if not contract.has_auxiliary(self.model):
            return None
        return self.model.auxiliary  # type: ignore[return-value]

    @auxiliary.setter
    def auxiliary(self, head: None) -> None:
        contract.drop_auxiliary(self.model)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits in the data's classes."""
        logits: Tensor = self.merge(self.model(images))
        return logits
