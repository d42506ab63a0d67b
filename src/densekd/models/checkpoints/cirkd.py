"""CIRKD (v1, v2) and HWD: PSPNet and DeepLabV3 on deep-stem, vanilla and mobile backbones, as bare state dicts."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from densekd.models.checkpoints import mobilenets
from densekd.models.checkpoints.layout import Recognized, Rules, rename
from densekd.models.checkpoints.resnets import deep_stem, single_stem, stages, which_resnet

_BACKBONE = r"pretrained\."

AUXILIARY: Rules = (
    (r"auxlayer\.block\.([01])(\..*)", r"auxiliary.conv.\1\2"),
    (r"auxlayer\.block\.4(\..*)", r"auxiliary.classifier\1"),
)
_PSP: Rules = (
    *((rf"head\.psp\.conv{k + 1}(\..*)", rf"head.pyramid.levels.{k}\1") for k in range(4)),
    (r"head\.block(\..*)", r"head.bottleneck\1"),
    (r"(head\.classifier\..*)", r"\1"),
)
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
    """Recognise backbone, head and widths; CIRKD's and HWD's differ in width alone."""
    found = body(state)
    if found is None:
        return None
    backbone, family, body_rules = found
    if "head.aspp.b0.0.weight" in state:
        model, channels, head_rules, classifier = "deeplabv3", len(state["head.block.0.weight"]), _ASPP, "head.block.4"
    elif "head.psp.conv1.0.weight" in state:
        widths = len(state["head.psp.conv1.0.weight"]), len(state["head.block.0.weight"])
        model, channels, head_rules, classifier = "pspnet", widths, _PSP, "head.classifier"  # type: ignore[assignment]
    else:
        return None
    ours, unused = rename(state, (*body_rules, *head_rules, *AUXILIARY))
    options: dict[str, Any] = {
        "num_classes": len(state[f"{classifier}.weight"]),
        "backbone": backbone,
        "family": family,
        "channels": channels,
        "auxiliary_channels": auxiliary_width(state),
    }
    return Recognized("cirkd", model, options, ours, unused)


def auxiliary_width(state: Mapping[str, Tensor]) -> int:
    """Return the width of the auxiliary head, 0 where there is none."""
    return len(state["auxlayer.block.0.weight"]) if "auxlayer.block.0.weight" in state else 0


def body(state: Mapping[str, Tensor]) -> tuple[str, str, Rules] | None:
    """Return backbone, family and rules."""
    if "pretrained.net.features.17.conv.6.weight" in state:
        return "mobilenetv2_100", "cirkd", mobilenets.v2_torchvision(_BACKBONE + r"net\.")
    v3 = mobilenets.which_v3(state, "pretrained.")
    if v3 is not None:
        return v3, "cirkd", mobilenets.v3(v3, _BACKBONE)
    resnet = which_resnet(state, _BACKBONE)
    if resnet is None:
        return None
    if "pretrained.conv3.weight" in state:
        return resnet, "cirkd", (*deep_stem(_BACKBONE), *stages(_BACKBONE))
    return resnet, "cirkd_vanilla", (*single_stem(_BACKBONE), *stages(_BACKBONE))
