"""The one module that every detector of ours is."""

from typing import Any, Literal, Protocol

from torch import Tensor, nn

from densekd.models.blocks import Normalize
from densekd.models.families import Convention
from densekd.ops.boxes import Boxes, Detections

Learns = Literal["all", "finetune"]


class Head(Protocol):
    """What a detector asks of its head."""

    num_classes: int

    @property
    def taps(self) -> dict[str, str]: ...  # noqa: D102
    def losses(self, output: Any, target: Boxes) -> dict[str, Tensor]: ...  # noqa: D102
    def detect(self, output: Any, sizes: Tensor) -> list[Detections]: ...  # noqa: D102


class Detector(nn.Module):
    """Normalization, backbone, neck and head.

    Args:
        convention: of the input, see :class:`densekd.models.families.Convention`.
        backbone: images -> list of four feature maps, finest first.
        neck: the last of these maps -> levels.
        head: levels -> raw output; it also has the loss and the decoding.
        learns: ``all`` for a backbone from random weights; ``finetune`` keeps the stem, the first stage and all
            statistics of batch norm as they are (mmdetection's way with ImageNet weights).

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> what the head returns.
    """

    def __init__(
        self, convention: Convention, backbone: nn.Module, neck: nn.Module, head: nn.Module, learns: Learns
    ) -> None:
        super().__init__()
        self.normalize = Normalize(convention)
        self.backbone = backbone
        self.neck = neck
        self.head = head
        self.learns = learns
        if learns == "finetune":
            first = [m for name, m in backbone.named_children() if name in ("conv1", "bn1", "layer1")]
            for module in first:
                module.requires_grad_(False)

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return self._head.num_classes

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: ``features.0..3``, ``neck.0..``, and the head's: ``cls.0..`` and ``reg.0..``."""
        levels = {f"neck.{k}": f"neck[{k}]" for k in range(self.neck.levels)}  # type: ignore[arg-type]
        maps = {f"features.{k}": f"backbone[{k}]" for k in range(4)}
        return maps | levels | {name: f"head.{path}" for name, path in self._head.taps.items()}

    def forward(self, images: Tensor) -> Any:
        """Return the head's raw output."""
        maps = self.backbone(self.normalize(images))
        return self.head(self.neck(maps[-len(self.neck.lateral) :]))  # type: ignore[arg-type]

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
            sizes: int64 ``[B, 2]``: height and width of each image without padding; boxes are clipped to it.
        """
        return self._head.detect(output, sizes)

    def train(self, mode: bool = True) -> "Detector":
        """Change the mode; a backbone that is fine-tuned keeps its statistics."""
        super().train(mode)
        if self.learns == "finetune":
            for module in self.backbone.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    @property
    def _head(self) -> Head:
        return self.head  # type: ignore[return-value]
