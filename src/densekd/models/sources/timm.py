"""``timm:``: any backbone of timm under one of our heads, or without a head as a teacher of features."""

from difflib import get_close_matches
from typing import Any, Literal

import timm
import torch
from torch import Tensor, nn

from densekd.errors import RecipeError
from densekd.models.blocks import Normalize, last_channels
from densekd.models.families import FAMILIES, Convention
from densekd.models.heads import DeepFCNHead, FPNHead, PSPHead
from densekd.models.sources.maps import InputSize, fitted, to_map

Head = Literal["fpn", "psp", "fcn", "none"]

# Arguments that bring weights; they would do so again wherever a package is loaded.
_WEIGHTS = ("pretrained", "checkpoint_path", "pretrained_cfg", "pretrained_cfg_overlay", "cache_dir")
# What lets a transformer take images of any size; other networks do not know these arguments.
_ANY_SIZE: tuple[dict[str, bool], ...] = ({"dynamic_img_size": True}, {"strict_img_size": False}, {})


class TimmSegmentor(nn.Module):
    """A backbone of timm, its last four maps, and a head.

    Args:
        backbone: a model of timm without classifier.
        fit: the sizes it accepts.

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> logits ``[B, C, h, w]``; without a head, the list of the four maps.
    """

    def __init__(self, backbone: nn.Module, fit: InputSize) -> None:
        super().__init__()
        config: Any = backbone.pretrained_cfg
        self.normalize = Normalize(Convention("rgb", config["mean"], config["std"]))
        self.backbone = backbone
        self.maps = nn.Identity()  # a place where taps can read the maps
        self.head: nn.Module | None = None
        self.align_corners = False
        self.fit = fit

    @property
    def convention(self) -> Convention:
        """Channel order, mean and standard deviation of the network's own input."""
        return self.normalize.convention

    @property
    def num_classes(self) -> int | None:
        """C, the number of classes; None without a head."""
        return None if self.head is None else last_channels(self.head.get_submodule("classifier"))

    @property
    def taps(self) -> dict[str, str]:
        """Short tap names: ``features.0..3`` and, with a head, ``logits`` and ``pre_logits``."""
        names = {f"features.{i}": f"maps[{i}]" for i in range(4)}
        if self.head is None:
            return names
        return {**names, "logits": "head.classifier", "pre_logits": "head.bottleneck"}

    def forward(self, images: Tensor) -> Any:
        """Return the head's logits, or the maps."""
        maps = self.maps(take_maps(self.backbone, fitted(self.normalize(images), self.fit)))
        return maps if self.head is None else self.head(maps)


def timm_backbone(
    name: str,
    num_classes: int,
    head: Head = "fpn",
    channels: int = 128,
    arguments: dict[str, Any] | None = None,
) -> TimmSegmentor:
    """Build a backbone of timm with a head; its weights come through ``pretrained``.

    The maps are those of the last four strides. A plain transformer gives four maps at the stride of its patches: after
    1/4, 2/4 and 3/4 of its blocks, and the final ones, normalized; class tokens and registers are left out.

    Args:
        name: architecture, with or without the tag of its weights, which also tells the input convention.
        num_classes: C; supplied by the build.
        head: ``fpn`` on all maps, ``psp`` or ``fcn`` on the last, ``none`` for a teacher of features.
        channels: width of the head.
        arguments: of timm's architecture (``output_stride: 8``, ``img_size: [512, 1024]``, ...).

    Raises:
        RecipeError: an unknown name or head, or an architecture whose maps cannot be had.
    """
    if ":" in name or not timm.is_model(name):
        near = ", ".join(get_close_matches(name, timm.list_models(), n=3)) or "none"
        raise RecipeError(f"timm:{name}: no architecture of timm; weights come through 'pretrained'. Nearest: {near}.")
    backbone = _make(name, without_weights(arguments or {}))
    fit, widths = _measure(backbone, name)
    model = TimmSegmentor(backbone, fit)
    if head == "fpn":
        model.head = FPNHead(widths, channels, num_classes, dropout=0.1)
    elif head == "psp":
        model.head = PSPHead(widths[-1], channels, num_classes, FAMILIES["mmseg"])
    elif head == "fcn":
        model.head = DeepFCNHead(widths[-1], channels, num_classes)
    elif head != "none":
        raise RecipeError(f"timm:{name}: unknown head '{head}'. Known: fcn, fpn, none, psp.")
    return model


def without_weights(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an architecture of timm, none of which brings weights.

    Raises:
        RecipeError: one does.
    """
    for key in _WEIGHTS:
        if key in arguments:
            raise RecipeError(f"arguments: '{key}' brings weights; write 'pretrained' beside 'model' instead.")
    return arguments


def take_maps(backbone: Any, images: Tensor) -> list[Tensor]:
    """Return four maps ``[B, C, h, w]`` of a backbone, finest first."""
    if not _is_plain(backbone):
        maps: list[Tensor] = backbone.forward_intermediates(images, 4, intermediates_only=True, output_fmt="NCHW")
        return maps
    depth = len(backbone.blocks)
    indices = [(k + 1) * depth // 4 - 1 for k in range(4)]
    final, maps = backbone.forward_intermediates(images, indices, output_fmt="NCHW")
    h, w = maps[-1].shape[-2:]
    return [*maps[:-1], to_map(final, (h, w))]


def _is_plain(backbone: Any) -> bool:
    """Say whether a backbone is a plain transformer: tokens of one size from the first block to the last."""
    return all(hasattr(backbone, part) for part in ("blocks", "patch_embed", "num_prefix_tokens"))


def _make(name: str, arguments: dict[str, Any]) -> nn.Module:
    error: TypeError | None = None
    for any_size in _ANY_SIZE:
        try:
            backbone: nn.Module = timm.create_model(name, num_classes=0, **{**any_size, **arguments})
        except TypeError as refused:
            error = refused
        else:
            return backbone
    raise RecipeError(f"timm:{name}: {error}") from error


def _measure(backbone: Any, name: str) -> tuple[InputSize, list[int]]:
    """Find the sizes that a backbone accepts, and the channels of its maps, by trying the freest first."""
    patches = getattr(backbone, "patch_embed", None)
    size = getattr(patches, "img_size", None) or backbone.pretrained_cfg["input_size"][1:]
    patch = getattr(patches, "patch_size", 1)
    fits = [
        InputSize(),
        InputSize(patch if isinstance(patch, int) else patch[0]),
        InputSize(backbone.feature_info[-1]["reduction"]),
    ]
    fits.append(InputSize(size=(size[0], size[1])))
    error: Exception | None = None
    training = backbone.training
    backbone.eval()
    for fit in fits:
        try:
            with torch.no_grad():
                maps = take_maps(backbone, fitted(torch.zeros(1, 3, 65, 97), fit))
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as refused:
            error = refused
        else:
            backbone.train(training)
            return fit, [x.shape[1] for x in maps]
    raise RecipeError(f"timm:{name}: four feature maps cannot be had ({error}).") from error
