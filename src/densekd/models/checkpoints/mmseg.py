"""mmsegmentation's dilated networks: PSPNet, DeepLabV3, DeepLabV3+ and FCN on ResNets and MobileNetV2, 0.x and 1.x."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from densekd.models.checkpoints import mobilenets
from densekd.models.checkpoints.layout import Recognized, Rules, rename
from densekd.models.checkpoints.resnets import single_stem, stages, which_resnet

_BACKBONE = r"backbone\."

# A 3x3 convolution of the stem, then batch norm, thrice.
_STEM: Rules = (
    (_BACKBONE + r"stem\.([0-6])(\..*)", r"backbone.conv1.\1\2"),
    (_BACKBONE + r"stem\.7(\..*)", r"backbone.bn1\1"),
)


def conv_module(theirs: str, ours: str) -> Rules:
    """Rules for OpenMMLab's ``conv`` and ``bn`` of one ConvModule, our ``0`` and ``1``."""
    return ((rf"{theirs}\.conv(\..*)", rf"{ours}.0\g<1>"), (rf"{theirs}\.bn(\..*)", rf"{ours}.1\g<1>"))


def _separable(theirs: str, ours: str) -> Rules:
    return (
        *conv_module(rf"{theirs}\.depthwise_conv", f"{ours}.0"),
        *conv_module(rf"{theirs}\.pointwise_conv", f"{ours}.1"),
    )


def _with_level(rules: Rules) -> Rules:
    """Let every rule keep a number: ``(\\d)`` in the pattern is group 1, what the rule keeps is group 2."""
    return tuple((theirs, ours and ours.replace(r"\g<1>", r"\g<2>")) for theirs, ours in rules)


AUXILIARY: Rules = (
    *conv_module(r"auxiliary_head\.convs\.0", "auxiliary.conv"),
    (r"auxiliary_head\.conv_seg(\..*)", r"auxiliary.classifier\1"),
)
_CLASSIFIER: Rules = ((r"decode_head\.conv_seg(\..*)", r"head.classifier\1"),)
_BOTTLENECK = conv_module(r"decode_head\.bottleneck", "head.bottleneck")
_POOL = conv_module(r"decode_head\.image_pool\.1", "head.aspp.pool")
_PSP: Rules = (*_with_level(conv_module(r"decode_head\.psp_modules\.(\d)\.1", r"head.pyramid.levels.\1")), *_BOTTLENECK)
_ASPP: Rules = (
    *_POOL,
    *_with_level(conv_module(r"decode_head\.aspp_modules\.(\d)", r"head.aspp.branches.\1")),
    *_BOTTLENECK,
)
_SEPARABLE: Rules = (
    *_POOL,
    *conv_module(r"decode_head\.aspp_modules\.0", "head.aspp.branches.0"),
    *_with_level(_separable(r"decode_head\.aspp_modules\.([1-3])", r"head.aspp.branches.\1")),
    *conv_module(r"decode_head\.bottleneck", "head.fuse"),
    *conv_module(r"decode_head\.c1_bottleneck", "head.low"),
    *_with_level(_separable(r"decode_head\.sep_bottleneck\.(\d)", r"head.bottleneck.\1")),
)
_FCN: Rules = (
    *_with_level(conv_module(r"decode_head\.convs\.(\d)", r"head.convs.\1")),
    *conv_module(r"decode_head\.conv_cat", "head.bottleneck"),
)


def recognize(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognise backbone, head, widths and auxiliary head."""
    body, head = _body(state), _head(state)
    if body is None or head is None:
        return None
    (backbone, family, body_rules), (model, channels, head_rules) = body, head
    ours, unused = rename(state, (*body_rules, *head_rules, *_CLASSIFIER, *AUXILIARY))
    options: dict[str, Any] = {
        "num_classes": len(state["decode_head.conv_seg.weight"]),
        "backbone": backbone,
        "family": family,
        "channels": channels,
        "auxiliary_channels": auxiliary_width(state),
    }
    return Recognized("mmsegmentation", model, options, ours, unused)


def auxiliary_width(state: Mapping[str, Tensor]) -> int:
    """Return the width of the auxiliary head, 0 where there is none."""
    key = "auxiliary_head.convs.0.conv.weight"
    return len(state[key]) if key in state else 0


def resnet_body(state: Mapping[str, Tensor]) -> tuple[str, str, Rules] | None:
    """Return backbone, family and rules where the file holds a ResNet."""
    resnet = which_resnet(state, _BACKBONE)
    if resnet is None:
        return None
    if "backbone.stem.0.weight" in state:
        return resnet, "mmseg", (*_STEM, *stages(_BACKBONE))
    return resnet, "mmseg_b", (*single_stem(_BACKBONE), *stages(_BACKBONE))


def _body(state: Mapping[str, Tensor]) -> tuple[str, str, Rules] | None:
    if "backbone.layer7.0.conv.0.conv.weight" in state:
        return "mobilenetv2_100", "mmseg", mobilenets.v2_mmseg(_BACKBONE)
    return resnet_body(state)


def _head(state: Mapping[str, Tensor]) -> tuple[str, Any, Rules] | None:
    """Return model, widths and rules."""

    def width(key: str) -> int:
        return len(state[f"decode_head.{key}.weight"])

    keys = {key.removeprefix("decode_head.").removesuffix(".weight") for key in state if key.startswith("decode_head.")}
    if "c1_bottleneck.conv" in keys:
        return "deeplabv3plus", (width("bottleneck.conv"), width("c1_bottleneck.conv")), _SEPARABLE
    if "aspp_modules.0.conv" in keys:
        return "deeplabv3", width("bottleneck.conv"), _ASPP
    if "psp_modules.0.1.conv" in keys and "fpn_bottleneck.conv" not in keys:
        levels, bottleneck = width("psp_modules.0.1.conv"), width("bottleneck.conv")
        return "pspnet", bottleneck if levels == bottleneck else (levels, bottleneck), _PSP
    if "conv_cat.conv" in keys:
        return "fcn", width("conv_cat.conv"), _FCN
    return None
