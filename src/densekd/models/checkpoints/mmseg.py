"""mmsegmentation (0.x and 1.x): PSPNet, DeepLabV3, DeepLabV3+ and FCN on ResNets and MobileNetV2."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from densekd.models.checkpoints import mobilenets
from densekd.models.checkpoints.layout import Recognized, Rules, rename
from densekd.models.checkpoints.parts import Body, Head
from densekd.models.checkpoints.resnets import single_stem, stages, which_resnet

_BACKBONE = r"backbone\."
_CLASSIFIER_KEY = "decode_head.conv_seg"

# A 3x3 convolution of the stem, then batch norm, thrice.
_STEM: Rules = (
    (_BACKBONE + r"stem\.([0-6])(\..*)", r"backbone.conv1.\1\2"),
    (_BACKBONE + r"stem\.7(\..*)", r"backbone.bn1\1"),
)


def conv_module(theirs: str, ours: str, group: int = 1) -> Rules:
    """Rules for OpenMMLab's ``conv`` and ``bn`` of one ConvModule, our ``0`` and ``1``.

    Args:
        theirs: pattern of the published name; it may hold ``(...)`` that ``ours`` refers to.
        ours: our name.
        group: number of the group that holds what follows: one more than ``theirs`` has.
    """
    return (
        (rf"{theirs}\.conv(\..*)", rf"{ours}.0\g<{group}>"),
        (rf"{theirs}\.bn(\..*)", rf"{ours}.1\g<{group}>"),
    )


def _separable(theirs: str, ours: str) -> Rules:
    """Rules for OpenMMLab's DepthwiseSeparableConvModule, whose name holds one group."""
    return (
        *conv_module(rf"{theirs}\.depthwise_conv", f"{ours}.0", group=2),
        *conv_module(rf"{theirs}\.pointwise_conv", f"{ours}.1", group=2),
    )


AUXILIARY: Rules = (
    *conv_module(r"auxiliary_head\.convs\.0", "auxiliary.conv"),
    (r"auxiliary_head\.conv_seg(\..*)", r"auxiliary.classifier\1"),
)
_CLASSIFIER: Rules = ((r"decode_head\.conv_seg(\..*)", r"head.classifier\1"),)
_BOTTLENECK = conv_module(r"decode_head\.bottleneck", "head.bottleneck")
_POOL = conv_module(r"decode_head\.image_pool\.1", "head.aspp.pool")
_PSP: Rules = (
    *conv_module(r"decode_head\.psp_modules\.(\d)\.1", r"head.pyramid.levels.\1", group=2),
    *_BOTTLENECK,
)
# Module 0 is the 1x1 convolution, 1 to 3 are the dilated ones.
_ASPP: Rules = (
    *_POOL,
    *conv_module(r"decode_head\.aspp_modules\.(\d)", r"head.aspp.branches.\1", group=2),
    *_BOTTLENECK,
)
# DeepLabV3+: what joins the branches is called bottleneck there, c1 are the finest features.
_SEPARABLE: Rules = (
    *_POOL,
    *conv_module(r"decode_head\.aspp_modules\.0", "head.aspp.branches.0"),
    *_separable(r"decode_head\.aspp_modules\.([1-3])", r"head.aspp.branches.\1"),
    *conv_module(r"decode_head\.bottleneck", "head.fuse"),
    *conv_module(r"decode_head\.c1_bottleneck", "head.low"),
    *_separable(r"decode_head\.sep_bottleneck\.(\d)", r"head.bottleneck.\1"),
)
_FCN: Rules = (
    *conv_module(r"decode_head\.convs\.(\d)", r"head.convs.\1", group=2),
    *conv_module(r"decode_head\.conv_cat", "head.bottleneck"),
)


def recognize(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognize backbone, head, widths and auxiliary head."""
    body = _body(state)
    head = _head(state)
    if body is None or head is None:
        return None
    ours, unused = rename(state, (*body.rules, *head.rules, *_CLASSIFIER, *AUXILIARY))
    options: dict[str, Any] = {
        "num_classes": len(state[f"{head.classifier}.weight"]),
        "backbone": body.backbone,
        "family": body.family,
        "channels": head.channels,
        "auxiliary_channels": auxiliary_width(state),
    }
    return Recognized("mmsegmentation", head.model, options, ours, unused)


def auxiliary_width(state: Mapping[str, Tensor]) -> int:
    """Return the width of the auxiliary head, 0 where there is none."""
    key = "auxiliary_head.convs.0.conv.weight"
    return len(state[key]) if key in state else 0


def resnet_body(state: Mapping[str, Tensor]) -> Body | None:
    """Return the backbone where the file holds a ResNet."""
    resnet = which_resnet(state, _BACKBONE)
    if resnet is None:
        return None
    if "backbone.stem.0.weight" in state:
        return Body(resnet, "mmseg", (*_STEM, *stages(_BACKBONE)))
    return Body(resnet, "mmseg_b", (*single_stem(_BACKBONE), *stages(_BACKBONE)))


def _body(state: Mapping[str, Tensor]) -> Body | None:
    if "backbone.layer7.0.conv.0.conv.weight" in state:
        return Body("mobilenetv2_100", "mmseg", mobilenets.v2_mmseg(_BACKBONE))
    return resnet_body(state)


def _head(state: Mapping[str, Tensor]) -> Head | None:
    def width(key: str) -> int | None:
        weight = state.get(f"decode_head.{key}.weight")
        return None if weight is None else len(weight)

    # Of several heads that share a key the one with a key of its own comes first.
    bottleneck = width("bottleneck.conv")
    if low := width("c1_bottleneck.conv"):
        return Head("deeplabv3plus", (bottleneck, low), _SEPARABLE, _CLASSIFIER_KEY)
    if width("aspp_modules.0.conv"):
        return Head("deeplabv3", bottleneck, _ASPP, _CLASSIFIER_KEY)
    # UPerNet has the pyramid's keys too.
    if (levels := width("psp_modules.0.1.conv")) and not width("fpn_bottleneck.conv"):
        channels = bottleneck if levels == bottleneck else (levels, bottleneck)
        return Head("pspnet", channels, _PSP, _CLASSIFIER_KEY)
    if joined := width("conv_cat.conv"):
        return Head("fcn", joined, _FCN, _CLASSIFIER_KEY)
    return None
