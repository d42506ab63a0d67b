"""Backbones from timm, adjusted to what each family did: a list of four feature maps, finest first."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import timm
from torch import nn

from densekd.errors import RecipeError, suggest
from densekd.models.families import Dilation, Family

_RESNETS: dict[str, float] = {
    "resnet18": 1, "resnet18_050": 0.5, "resnet18_025": 0.25, "resnet34": 1, "resnet50": 1, "resnet101": 1,
    "resnext50_32x4d": 1, "resnext101_32x4d": 1, "resnext101_64x4d": 1,
}  # fmt: skip
_MOBILENETS = (
    "mobilenetv2_100",
    "mobilenetv3_small_050", "mobilenetv3_small_075", "mobilenetv3_small_100", "mobilenetv3_large_100",
)  # fmt: skip
_MOBILEVITS = ("mobilevit_xxs", "mobilevit_xs", "mobilevit_s")
BACKBONES = (*_RESNETS, *_MOBILENETS, *_MOBILEVITS)


class Backbone(NamedTuple):
    """A feature extractor and the channels of its four maps."""

    module: nn.Module
    channels: list[int]


def make_backbone(name: str, family: Family, output_stride: int) -> Backbone:
    """Build a backbone without weights.

    Args:
        name: one of ``BACKBONES``; ``_025`` and ``_050`` are width factors, as in timm's names.
        family: stem, dilation and pooling of a ResNet; dilation and padding of a MobileNet.
        output_stride: stride of the last map: 8, 16 or 32.

    Raises:
        RecipeError: an unknown name.
    """
    if name not in BACKBONES:
        raise RecipeError(f"Unknown backbone '{name}'. {suggest(name, BACKBONES)}")
    options: dict[str, Any] = {"features_only": True, "output_stride": output_stride, "out_indices": (1, 2, 3, 4)}
    if name in _MOBILEVITS:
        module: Any = timm.create_model(name, **options)
    elif name in _MOBILENETS:
        tensorflow = family.mobile_padding == "tensorflow" and name.startswith("mobilenetv3")
        options |= {"pad_type": "same"} if tensorflow else {}
        module = timm.create_model(name, **options)
        _set_mobile_dilation(module, "full" if tensorflow else family.dilation)
    else:
        factor = _RESNETS[name]
        if factor != 1:
            options["channels"] = tuple(int(factor * c) for c in (64, 128, 256, 512))
        if family.stem_width is not None:
            options |= {"stem_type": "deep", "stem_width": int(factor * family.stem_width)}
        module = timm.create_model(name if factor == 1 else name.partition("_")[0], **options)
        module.maxpool.ceil_mode = family.ceil_pool
        _set_dilation(module, family.dilation)
    return Backbone(module, module.feature_info.channels())


def _set_dilation(resnet: nn.Module, variant: Dilation) -> None:
    """Turn timm's dilations (``halved``) into another variant's."""
    if variant == "halved":
        return
    for stage in (resnet.get_submodule("layer3"), resnet.get_submodule("layer4")):
        dilation = max(m.dilation[0] for m in stage.modules() if isinstance(m, nn.Conv2d))
        for block in stage.children():
            three_by_three = [m for m in block.children() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
            for index, conv in enumerate(three_by_three):
                if variant == "full":
                    conv.dilation = conv.padding = (dilation, dilation)
                elif index > 0:
                    conv.dilation = conv.padding = (1, 1)


def _set_mobile_dilation(mobilenet: nn.Module, variant: Dilation) -> None:
    """Turn timm's dilations of depthwise convolutions (``halved``) into another variant's.

    ``full``: the formerly strided convolution has the new dilation already. ``first_conv``: of a stage with a dilation,
    the first convolution alone has it.
    """
    if variant == "halved":
        return
    for stage in mobilenet.get_submodule("blocks").children():
        convs = list(_depthwise(stage))
        dilation = max((conv.dilation[0] for conv in convs), default=1)
        for index, conv in enumerate(convs):
            _dilate(conv, dilation if variant == "full" or index == 0 else 1)


def _depthwise(stage: nn.Module) -> Iterator[nn.Conv2d]:
    return (m for m in stage.modules() if isinstance(m, nn.Conv2d) and m.groups > 1)


def _dilate(conv: nn.Conv2d, dilation: int) -> None:
    if conv.padding != (0, 0):  # else the padding is computed when the size is known
        conv.padding = tuple(dilation * (k // 2) for k in conv.kernel_size)
    conv.dilation = (dilation, dilation)
