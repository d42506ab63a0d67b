"""Backbones of timm as feature extractors: four maps, finest first, dilated as each family did."""

from typing import Any, NamedTuple

import timm
from timm.models.mobilevit import MobileVitBlock
from timm.models.resnet import Bottleneck
from torch import nn

from densekd.errors import RecipeError, suggest
from densekd.models.families import Dilation, Family
from densekd.models.initialize import initialize_resnet

# Names, and the width as a factor of the published one.
_RESNETS: dict[str, float] = {
    "resnet18": 1, "resnet18_050": 0.5, "resnet18_025": 0.25,
    "resnet34": 1, "resnet50": 1, "resnet101": 1, "resnet152": 1,
    "resnext50_32x4d": 1, "resnext101_32x4d": 1, "resnext101_64x4d": 1,
}  # fmt: skip
_WIDTHS = (64, 128, 256, 512)
_MOBILENETS = (
    "mobilenetv2_100",
    "mobilenetv3_small_050", "mobilenetv3_small_075", "mobilenetv3_small_100",
    "mobilenetv3_large_100",
)  # fmt: skip
_MOBILEVITS = ("mobilevit_xxs", "mobilevit_xs", "mobilevit_s")
BACKBONES = (*_RESNETS, *_MOBILENETS, *_MOBILEVITS)


class Backbone(NamedTuple):
    """Feature extractor and the channels of its four maps."""

    module: nn.Module
    channels: list[int]


def make_backbone(name: str, family: Family, output_stride: int) -> Backbone:
    """Build a backbone without weights.

    Args:
        name: one of ``BACKBONES``; ``_025`` and ``_050`` are width factors, as in timm's names.
        family: stem, dilation, pooling and stride of a ResNet; dilation and padding of a MobileNet.
        output_stride: stride of the last map: 8, 16 or 32.

    Raises:
        RecipeError: an unknown name.
    """
    if name not in BACKBONES:
        raise RecipeError(f"Unknown backbone '{name}'. {suggest(name, BACKBONES)}")
    # Map 0 has stride 2; heads read the four that follow.
    options: dict[str, Any] = {
        "features_only": True,
        "output_stride": output_stride,
        "out_indices": (1, 2, 3, 4),
    }
    module: Any
    if name in _MOBILEVITS:
        module = timm.create_model(name, **options)
        if family.mobilevit == "cirkd":
            _as_cirkd_mobilevit(module)
    elif name in _MOBILENETS:
        module = _make_mobilenet(name, family, options)
    else:
        module = _make_resnet(name, family, options)
    return Backbone(module, module.feature_info.channels())


def _make_mobilenet(name: str, family: Family, options: dict[str, Any]) -> Any:
    # TensorFlow's "same" padding is another on the left and right; MobileNetV2 was never trained so.
    tensorflow = family.mobile_padding == "tensorflow" and name.startswith("mobilenetv3")
    if not tensorflow:
        module = timm.create_model(name, **options)
        _set_mobile_dilation(module, family.dilation)
        return module
    module = timm.create_model(name, pad_type="same", **options)
    _set_mobile_dilation(module, "full")
    return module


def _as_cirkd_mobilevit(mobilevit: nn.Module) -> None:
    """Turn timm's MobileViT into CIRKD's, which has the same weights and computes something else."""
    for stage in (mobilevit.get_submodule("stages_3"), mobilevit.get_submodule("stages_4")):
        convs = [conv for conv in _convolutions(stage) if conv.kernel_size == (3, 3)]
        # What timm gave the stage in place of its stride.
        dilation = max(conv.dilation[0] for conv in convs)
        for conv in convs:
            _dilate(conv, dilation if conv.groups > 1 else 1)
    for block in mobilevit.modules():
        if isinstance(block, MobileVitBlock):
            block.get_submodule("conv_proj.bn").act = nn.Identity()


def _make_resnet(name: str, family: Family, options: dict[str, Any]) -> Any:
    # A name with a width is no architecture of timm: its channels are given instead.
    factor = _RESNETS[name]
    architecture = name
    if factor != 1:
        architecture = name.partition("_")[0]
        options["channels"] = tuple(int(factor * width) for width in _WIDTHS)
    if family.stem_width is not None:
        options["stem_type"] = "deep"
        options["stem_width"] = int(factor * family.stem_width)
    module: Any = timm.create_model(architecture, **options)
    module.maxpool.ceil_mode = family.ceil_pool
    if family.style == "caffe":
        _stride_first(module)
    _set_dilation(module, family.dilation)
    initialize_resnet(module, family.resnet_init)
    return module


def _stride_first(resnet: nn.Module) -> None:
    """Move the stride of bottlenecks to the 1x1 convolution before the 3x3, as in Caffe's ResNets."""
    for block in resnet.modules():
        # Basic blocks have their stride in the first convolution anyway.
        if isinstance(block, Bottleneck):
            stride = block.conv2.stride
            block.conv2.stride = (1, 1)
            block.conv1.stride = stride


def _set_dilation(resnet: nn.Module, variant: Dilation) -> None:
    """Turn timm's dilations (``halved``) into another variant's."""
    if variant == "halved":
        return
    for stage in (resnet.get_submodule("layer3"), resnet.get_submodule("layer4")):
        # What timm gave the stage in place of its stride.
        dilation = max(conv.dilation[0] for conv in _convolutions(stage))
        for block in stage.children():
            for index, conv in enumerate(_three_by_three(block)):
                if variant == "full":
                    _dilate(conv, dilation)
                elif index > 0:
                    _dilate(conv, 1)


def _three_by_three(block: nn.Module) -> list[nn.Conv2d]:
    return [conv for conv in _convolutions(block) if conv.kernel_size == (3, 3)]


def _convolutions(module: nn.Module) -> list[nn.Conv2d]:
    return [m for m in module.modules() if isinstance(m, nn.Conv2d)]


def _set_mobile_dilation(mobilenet: nn.Module, variant: Dilation) -> None:
    """Turn timm's dilations of depthwise convolutions (``halved``) into another variant's.

    ``full``: the formerly strided convolution has the new dilation already. ``first_conv``: of a
    stage with a dilation, the first convolution alone has it.
    """
    if variant == "halved":
        return
    for stage in mobilenet.get_submodule("blocks").children():
        convs = [conv for conv in _convolutions(stage) if conv.groups > 1]
        # The first stage of MobileNetV2 has none that could be dilated.
        dilation = max((conv.dilation[0] for conv in convs), default=1)
        for index, conv in enumerate(convs):
            if variant == "full" or index == 0:
                _dilate(conv, dilation)
            else:
                _dilate(conv, 1)


def _dilate(conv: nn.Conv2d, dilation: int) -> None:
    # Without padding of its own a convolution pads when it knows the size (TensorFlow's way).
    if conv.padding != (0, 0):
        conv.padding = tuple(dilation * (k // 2) for k in conv.kernel_size)
    conv.dilation = (dilation, dilation)
