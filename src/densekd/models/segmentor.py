"""Segmentation model of the zoo: normalization, backbone, head and auxiliary head."""

from collections.abc import Sequence

from torch import Tensor, nn

from densekd.models.blocks import Normalize, last_channels
from densekd.models.families import Convention
from densekd.models.freeze import Role, freeze, keep_frozen


class Segmentor(nn.Module):
    """Normalization, backbone, head, and an auxiliary head where the family trains with one.

    The auxiliary head's logits are read through the tap ``aux``. Whoever does not need them sets
    ``auxiliary`` to None: a teacher whose ``aux`` nobody taps, a student that is exported.

    Args:
        convention: of the input, see :class:`densekd.models.families.Convention`.
        backbone: images -> list of four feature maps, finest first.
        head: feature maps -> logits.
        auxiliary: the same, or None.
        align_corners: how the family upsamples its logits.
        frozen: parts of the backbone that do not learn and keep their statistics, see
            :mod:`densekd.models.freeze`.

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> logits ``[B, C, h, w]``.
    """

    def __init__(
        self,
        convention: Convention,
        backbone: nn.Module,
        head: nn.Module,
        auxiliary: nn.Module | None,
        align_corners: bool,
        frozen: Sequence[Role] = (),
    ) -> None:
        super().__init__()
        self.normalize = Normalize(convention)
        self.backbone = backbone
        self.head = head
        self.auxiliary = auxiliary
        self.align_corners = align_corners
        self.frozen = tuple(frozen)
        freeze(backbone, self.frozen)

    @property
    def convention(self) -> Convention:
        """Channel order, mean and standard deviation of the network's own input."""
        return self.normalize.convention

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return last_channels(self.head.get_submodule("classifier"))

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: ``logits``, ``pre_logits``, ``features.0..3``, and possibly ``aux``."""
        names = {f"features.{i}": f"backbone[{i}]" for i in range(4)}
        names["logits"] = "head.classifier"
        names["pre_logits"] = "head.bottleneck"
        if self.auxiliary is not None:
            names["aux"] = "auxiliary.classifier"
        return names

    def forward(self, images: Tensor) -> Tensor:
        """Return the head's logits."""
        features = self.backbone(self.normalize(images))
        if self.auxiliary is not None:
            # For its tap alone; the logits that are returned are the main head's.
            self.auxiliary(features)
        logits: Tensor = self.head(features)
        return logits

    def train(self, mode: bool = True) -> "Segmentor":
        """Change the mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        keep_frozen(self.backbone, self.frozen)
        return self
