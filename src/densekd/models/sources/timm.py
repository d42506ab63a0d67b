"""``timm:``: any backbone of timm with one of our heads, or alone as a teacher of features."""

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any, Literal

import timm
import torch
from torch import Tensor, nn

from densekd.errors import RecipeError
from densekd.models.blocks import Normalize, last_channels
from densekd.models.families import FAMILIES, Convention
from densekd.models.heads import DeepFCNHead, FPNHead, PSPHead
from densekd.models.sources.maps import InputSize, resize_input, to_map
from densekd.ops.ranges import Channels

Head = Literal["fpn", "psp", "fcn", "none"]

# Arguments that bring weights; they would do so again wherever a package is loaded.
_WEIGHTS = (
    "pretrained",
    "checkpoint_path",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "cache_dir",
)
# What lets a transformer take images of any size; other networks do not know these arguments.
_ANY_SIZE: tuple[dict[str, bool], ...] = (
    {"dynamic_img_size": True},
    {"strict_img_size": False},
    {},
)


class TimmSegmentor(nn.Module):
    """Backbone of timm, its last four maps, and a head.

    Args:
        backbone: a model of timm without classifier.
        input_size: the sizes it accepts.
        head: four maps -> logits; None for a teacher of features.

    Shape:
        float RGB in [0, 1], ``[B, 3, H, W]`` -> logits ``[B, C, h, w]``; without a head, the list
        of the four maps.
    """

    def __init__(self, backbone: nn.Module, input_size: InputSize, head: nn.Module | None) -> None:
        super().__init__()
        config: Any = backbone.pretrained_cfg
        self.normalize = Normalize(Convention("rgb", config["mean"], config["std"]))
        self.backbone = backbone
        self.maps = nn.Identity()  # a place where taps can read the maps
        self.head = head
        self.align_corners = False
        self.input_size = input_size

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
        if self.head is not None:
            names["logits"] = "head.classifier"
            names["pre_logits"] = "head.bottleneck"
        return names

    def forward(self, images: Tensor) -> Any:
        """Return the head's logits, or the maps."""
        images = resize_input(self.normalize(images), self.input_size)
        maps = self.maps(feature_maps(self.backbone, images))
        if self.head is None:
            return maps
        return self.head(maps)


def timm_backbone(
    name: str,
    num_classes: int,
    head: Head = "fpn",
    channels: Channels = 128,
    arguments: dict[str, Any] | None = None,
) -> TimmSegmentor:
    """Build a backbone of timm with a head; its weights come through ``pretrained``.

    The maps are those of the last four strides. A plain transformer gives four maps at the stride
    of its patches: after 1/4, 2/4 and 3/4 of its blocks, and the final ones, normalized; class
    tokens and registers are left out.

    Args:
        name: architecture, with or without the tag of its weights, which also tells the input
            convention.
        num_classes: C; supplied by the build.
        head: ``fpn`` on all maps, ``psp`` or ``fcn`` on the last, ``none`` for a teacher of
            features.
        channels: width of the head.
        arguments: of timm's architecture (``output_stride: 8``, ``img_size: [512, 1024]``, ...).

    Raises:
        RecipeError: an unknown name or head, or an architecture whose maps cannot be had.
    """
    if ":" in name or not timm.is_model(name):
        near = ", ".join(get_close_matches(name, timm.list_models(), n=3)) or "none"
        raise RecipeError(f"timm:{name}: no architecture of timm; weights come through 'pretrained'. Nearest: {near}.")
    backbone = _create(name, without_weights(arguments or {}))
    input_size, widths = _probe(backbone, name)
    # Our heads read maps of any width and number of channels, so any backbone fits.
    module: nn.Module | None = None
    if head == "fpn":
        module = FPNHead(widths, channels, num_classes, dropout=0.1)
    elif head == "psp":
        module = PSPHead(widths[-1], channels, num_classes, FAMILIES["mmseg"])
    elif head == "fcn":
        module = DeepFCNHead(widths[-1], channels, num_classes)
    elif head != "none":
        raise RecipeError(f"timm:{name}: unknown head '{head}'. Known: fcn, fpn, none, psp.")
    return TimmSegmentor(backbone, input_size, module)


def without_weights(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of an architecture of timm, none of which brings weights.

    Raises:
        RecipeError: one does.
    """
    for key in _WEIGHTS:
        if key in arguments:
            raise RecipeError(f"arguments: '{key}' brings weights; write 'pretrained' beside 'model' instead.")
    return arguments


def feature_maps(backbone: Any, images: Tensor) -> list[Tensor]:
    """Return four maps ``[B, C, h, w]`` of a backbone, finest first."""
    if not _is_plain_transformer(backbone):
        maps: list[Tensor] = backbone.forward_intermediates(
            images,
            indices=4,
            intermediates_only=True,
            output_fmt="NCHW",
        )
        return maps
    # After every quarter of the blocks; the last map is replaced by the final one, after the norm.
    depth = len(backbone.blocks)
    indices = [quarter * depth // 4 - 1 for quarter in (1, 2, 3, 4)]
    final, maps = backbone.forward_intermediates(images, indices, output_fmt="NCHW")
    h, w = maps[-1].shape[-2:]
    return [*maps[:-1], to_map(final, (h, w))]


def _is_plain_transformer(backbone: Any) -> bool:
    """Return True for a plain transformer: tokens of one size from the first block to the last."""
    return all(hasattr(backbone, part) for part in ("blocks", "patch_embed", "num_prefix_tokens"))


def _create(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Create a backbone that takes images of any size, if its architecture can."""
    # Unknown arguments are a TypeError; the last attempt has those of the user alone.
    error: TypeError | None = None
    for any_size in _ANY_SIZE:
        options = {**any_size, **arguments}
        try:
            backbone: nn.Module = timm.create_model(name, num_classes=0, **options)
        except TypeError as refused:
            error = refused
        else:
            return backbone
    raise RecipeError(f"timm:{name}: {error}") from error


def _probe(backbone: Any, name: str) -> tuple[InputSize, list[int]]:
    """Find the freest sizes that a backbone accepts, and the channels of its maps, by trying."""
    error: Exception | None = None
    training = backbone.training
    backbone.eval()
    # A size that divides by nothing, so that whatever works for it works for every size.
    images = torch.zeros(1, 3, 65, 97)
    for input_size in _input_sizes(backbone):
        try:
            with torch.no_grad():
                maps = feature_maps(backbone, resize_input(images, input_size))
        except (AssertionError, AttributeError, RuntimeError, TypeError, ValueError) as refused:
            error = refused
        else:
            backbone.train(training)
            return input_size, [x.shape[1] for x in maps]
    raise RecipeError(f"timm:{name}: four feature maps cannot be had ({error}).") from error


def _input_sizes(backbone: Any) -> Iterator[InputSize]:
    """Any size, multiples of the patch, multiples of the last stride, the size of the training."""
    patches = getattr(backbone, "patch_embed", None)
    yield InputSize()
    patch = getattr(patches, "patch_size", 1)
    yield InputSize(patch if isinstance(patch, int) else patch[0])
    yield InputSize(backbone.feature_info[-1]["reduction"])
    height, width = getattr(patches, "img_size", None) or backbone.pretrained_cfg["input_size"][1:]
    yield InputSize(size=(height, width))
