"""Detector: normalization, backbone, neck (feature pyramid), head with its loss and decoding."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from densekd.models.blocks import Normalize
from densekd.models.families import Convention
from densekd.models.freeze import Role, freeze, keep_frozen, keep_statistics
from densekd.ops.boxes import Boxes, Detections


class Head(Protocol):
    """Head of a detector, dense or two-stage."""

    num_classes: int

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names -> paths inside the head."""

    def losses(self, output: Any, target: Boxes) -> dict[str, Tensor]:
        """Return the weighted summands of the loss."""

    def detect(self, output: Any, sizes: Tensor) -> list[Detections]:
        """Return what is found in each image."""


class Detector(nn.Module):
    """Object detector of four exchangeable parts.

    Args:
        convention: of the input, see :class:`densekd.models.families.Convention`.
        backbone: images -> list of four feature maps, finest first.
        neck: the last of these maps -> levels.
        head: levels -> raw output; it also has the loss and the decoding.
        frozen: parts of the backbone that do not learn, see :mod:`densekd.models.freeze`. Where
            there are any, all batch norms of the backbone keep their statistics, as detectors are
            fine-tuned everywhere (``norm_eval`` of mmdetection, frozen batch norm of Detectron2 and
            torchvision): batches are small.

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> what the head returns.
    """

    def __init__(
        self,
        convention: Convention,
        backbone: nn.Module,
        neck: nn.Module,
        head: nn.Module,
        frozen: Sequence[Role] = (),
    ) -> None:
        super().__init__()
        self.normalize = Normalize(convention)
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.frozen = tuple(frozen)
        freeze(backbone, self.frozen)

    @property
    def convention(self) -> Convention:
        """Channel order, mean and standard deviation of the network's own input."""
        return self.normalize.convention

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return self._head.num_classes

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: ``features.0..3``, ``neck.0..``, and the head's ``cls.0..``, ``reg.0..``."""
        names = {f"features.{k}": f"backbone[{k}]" for k in range(4)}
        for k in range(self.neck.levels):  # type: ignore[arg-type]
            names[f"neck.{k}"] = f"neck[{k}]"
        for name, path in self._head.taps.items():
            names[name] = f"head.{path}"
        return names

    def forward(self, images: Tensor) -> Any:
        """Return the head's raw output."""
        maps = self.backbone(self.normalize(images))
        # The finest maps are left out where the neck begins at a coarser stride.
        read = maps[-len(self.neck.lateral) :]  # type: ignore[arg-type]
        return self.head(self.neck(read))

    def losses(self, output: Any, target: Boxes) -> dict[str, Tensor]:
        """Return the weighted summands of the head's loss.

        Args:
            output: of :meth:`forward`.
            target: the boxes of the batch.
        """
        return self._head.losses(output, target)

    def detect(self, output: Any, sizes: Tensor) -> list[Detections]:
        """Return what is found in each image.

        Args:
            output: of :meth:`forward`.
            sizes: int64 ``[B, 2]``: height and width of each image without padding; boxes are
                clipped to it.
        """
        return self._head.detect(output, sizes)

    def train(self, mode: bool = True) -> "Detector":
        """Change the mode; a backbone with frozen parts keeps its statistics."""
        super().train(mode)
        if self.frozen:
            keep_frozen(self.backbone, self.frozen)
            keep_statistics(self.backbone)
        return self

    @property
    def _head(self) -> Head:
        return self.head  # type: ignore[return-value]
