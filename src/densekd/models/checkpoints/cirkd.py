"""CIRKD (v1, v2) and HWD: PSPNet and DeepLabV3 on ResNets and mobile backbones, bare state dicts."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from densekd.models.checkpoints import mobilenets
from densekd.models.checkpoints.layout import Recognized, Rules, rename
from densekd.models.checkpoints.mobilevits import mobilevit, which_mobilevit
from densekd.models.checkpoints.parts import Body, Head
from densekd.models.checkpoints.resnets import deep_stem, single_stem, stages, which_resnet

_BACKBONE = r"pretrained\."

# A sequence of convolution, norm, activation, dropout, classifier.
AUXILIARY: Rules = (
    (r"auxlayer\.block\.([01])(\..*)", r"auxiliary.conv.\1\2"),
    (r"auxlayer\.block\.4(\..*)", r"auxiliary.classifier\1"),
)
# The four levels count from 1.
_PSP: Rules = (
    *((rf"head\.psp\.conv{k + 1}(\..*)", rf"head.pyramid.levels.{k}\1") for k in range(4)),
    (r"head\.block(\..*)", r"head.bottleneck\1"),
    (r"(head\.classifier\..*)", r"\1"),
)
# b0 is the 1x1 convolution, b1 to b3 are the dilated ones, b4 is the image's mean.
_ASPP: Rules = (
    (r"head\.aspp\.b0(\..*)", r"head.aspp.branches.0\1"),
    (r"head\.aspp\.b([123])\.block(\..*)", r"head.aspp.branches.\1\2"),
    (r"head\.aspp\.b4\.gap\.1(\..*)", r"head.aspp.pool.0\1"),
    (r"head\.aspp\.b4\.gap\.2(\..*)", r"head.aspp.pool.1\1"),
    (r"head\.aspp\.project(\..*)", r"head.project\1"),
    (r"head\.block\.([01])(\..*)", r"head.bottleneck.\1\2"),
    (r"head\.block\.4(\..*)", r"head.classifier\1"),
)


def recognize(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognize backbone, head and widths; CIRKD's and HWD's differ in width alone."""
    found = body(state)
    head = _head(state)
    if found is None or head is None:
        return None
    ours, unused = rename(state, (*found.rules, *head.rules, *AUXILIARY))
    options: dict[str, Any] = {
        "num_classes": len(state[f"{head.classifier}.weight"]),
        "backbone": found.backbone,
        "family": found.family,
        "channels": head.channels,
        "auxiliary_channels": auxiliary_width(state),
    }
    return Recognized("cirkd", head.model, options, ours, unused)


def auxiliary_width(state: Mapping[str, Tensor]) -> int:
    """Return the width of the auxiliary head, 0 where there is none."""
    key = "auxlayer.block.0.weight"
    return len(state[key]) if key in state else 0


def body(state: Mapping[str, Tensor]) -> Body | None:
    """Return the backbone, or None where the file holds none that we know."""
    if "pretrained.net.features.17.conv.6.weight" in state:
        return Body("mobilenetv2_100", "cirkd", mobilenets.v2_cirkd(_BACKBONE + r"net\."))
    if "pretrained.layer7.0.conv.0.conv.weight" in state:
        return Body("mobilenetv2_100", "cirkd_ssseg", mobilenets.v2_mmseg(_BACKBONE))
    v3 = mobilenets.which_v3(state, "pretrained.")
    if v3 is not None:
        return Body(v3, "cirkd", mobilenets.v3(v3, _BACKBONE))
    vit = which_mobilevit(state, "pretrained.")
    if vit is not None:
        return Body(vit, "cirkd", mobilevit(_BACKBONE))
    resnet = which_resnet(state, _BACKBONE)
    if resnet is None:
        return None
    # A third convolution of the stem tells the deep one.
    if "pretrained.conv3.weight" in state:
        return Body(resnet, "cirkd", (*deep_stem(_BACKBONE), *stages(_BACKBONE)))
    return Body(resnet, "cirkd_vanilla", (*single_stem(_BACKBONE), *stages(_BACKBONE)))


def _head(state: Mapping[str, Tensor]) -> Head | None:
    if "head.aspp.b0.0.weight" in state:
        return Head("deeplabv3", len(state["head.block.0.weight"]), _ASPP, "head.block.4")
    if "head.psp.conv1.0.weight" in state:
        widths = (len(state["head.psp.conv1.0.weight"]), len(state["head.block.0.weight"]))
        return Head("pspnet", widths, _PSP, "head.classifier")
    return None
