"""``torchvision:``: torchvision's semantic segmentation models."""

from typing import Any, Literal

import torchvision
from torch import Tensor, nn

from densekd.errors import RecipeError, suggest
from densekd.models.blocks import Normalize, last_channels
from densekd.models.families import IMAGENET, Convention


class TorchvisionSegmentor(nn.Module):
    """Model of torchvision in its parts, under torchvision's names, so that its state dicts fit.

    Args:
        name: its name there.
        model: the model.

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> logits ``[B, C, h, w]``, before torchvision
        upsamples them.
    """

    def __init__(self, name: str, model: Any) -> None:
        super().__init__()
        self.name = name
        self.normalize = Normalize(IMAGENET)
        self.backbone = model.backbone
        self.classifier = model.classifier
        self.aux_classifier: nn.Module | None = getattr(model, "aux_classifier", None)
        self.align_corners = False

    @property
    def auxiliary(self) -> nn.Module | None:
        """Return the auxiliary head, if there is one; it may be set to None."""
        return self.aux_classifier

    @auxiliary.setter
    def auxiliary(self, head: None) -> None:
        self.aux_classifier = head

    @property
    def convention(self) -> Convention:
        """Channel order, mean and standard deviation of the network's own input."""
        return self.normalize.convention

    @property
    def num_classes(self) -> int:
        """C, the number of classes."""
        return last_channels(self.classifier)

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: ``logits``, ``features.0..3``, possibly ``pre_logits`` and ``aux``."""
        names = {"logits": "classifier"}
        names |= {f"features.{i}": f"backbone.{stage}" for i, stage in enumerate(self._stages())}
        if isinstance(self.classifier, nn.Sequential):
            # The last activation; between it and the classifier there may be dropout.
            layers = enumerate(self.classifier)
            activations = [i for i, layer in layers if isinstance(layer, nn.ReLU)]
            names["pre_logits"] = f"classifier.{activations[-1]}"
        if self.aux_classifier is not None:
            names["aux"] = "aux_classifier"
        return names

    @property
    def packaged(self) -> tuple[str, dict[str, Any]]:
        """Return the name and options that rebuild this model, without auxiliary head."""
        return f"torchvision:{self.name}", {}

    def forward(self, images: Tensor) -> Tensor:
        """Return the classifier's logits."""
        maps = self.backbone(self.normalize(images))
        if self.aux_classifier is not None:
            # For its tap alone; the logits that are returned are the main head's.
            self.aux_classifier(maps["aux"])
        # LR-ASPP reads two levels, the others the last map.
        logits: Tensor = self.classifier(maps.get("out", maps))
        return logits

    def _stages(self) -> list[str]:
        """Name the last module of each of the four stages."""
        names = [name for name, _ in self.backbone.named_children()]
        if "layer1" in names:
            return [f"layer{i}" for i in range(1, 5)]
        # MobileNetV3: a stage ends before the next strided block; torchvision marks these blocks.
        blocks = self.backbone.children()
        strided = [i for i, block in enumerate(blocks) if getattr(block, "_is_cn", False)]
        ends = [names[i - 1] for i in strided[1:]]
        return [*ends, names[-1]]


def torchvision_model(name: str, num_classes: int, auxiliary: Literal["none", "fcn"] = "none") -> TorchvisionSegmentor:
    """Build a segmentation model of torchvision without weights.

    Args:
        name: in torchvision: ``deeplabv3_resnet50``, ``fcn_resnet101``,
            ``lraspp_mobilenet_v3_large``, ...
        num_classes: C; supplied by the build.
        auxiliary: ``fcn`` for torchvision's auxiliary head, which published weights have.

    Raises:
        RecipeError: an unknown name, or an auxiliary head for LR-ASPP, which has none.
    """
    known = torchvision.models.list_models(module=torchvision.models.segmentation)
    if name not in known:
        raise RecipeError(f"torchvision:{name}: no segmentation model of torchvision. {suggest(name, known)}")
    if auxiliary not in ("none", "fcn") or (auxiliary == "fcn" and name.startswith("lraspp")):
        raise RecipeError(f"torchvision:{name}: there is no auxiliary head '{auxiliary}' here.")
    options: dict[str, Any] = {"weights": None, "weights_backbone": None}
    if auxiliary == "fcn":
        options["aux_loss"] = True
    model = torchvision.models.get_model(name, num_classes=num_classes, **options)
    return TorchvisionSegmentor(name, model)
