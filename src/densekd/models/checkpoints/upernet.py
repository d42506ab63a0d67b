"""UPerNets: mmsegmentation's on Swin and ResNet, the Swin authors' (and SegDistill's), and CIRKD's."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from densekd.models.checkpoints import cirkd, mmseg
from densekd.models.checkpoints.layout import Recognized, Rules, rename
from densekd.models.checkpoints.transformers import SWIN_MMSEG, SWIN_ORIGINAL, original_merging, which_swin

_MMSEG_HEAD: Rules = (
    (r"decode_head\.psp_modules\.(\d)\.1\.conv(\..*)", r"head.pyramid.levels.\1.0\2"),
    (r"decode_head\.psp_modules\.(\d)\.1\.bn(\..*)", r"head.pyramid.levels.\1.1\2"),
    *mmseg.conv_module(r"decode_head\.bottleneck", "head.top"),
    (r"decode_head\.lateral_convs\.(\d)\.conv(\..*)", r"head.lateral.\1.0\2"),
    (r"decode_head\.lateral_convs\.(\d)\.bn(\..*)", r"head.lateral.\1.1\2"),
    (r"decode_head\.fpn_convs\.(\d)\.conv(\..*)", r"head.smooth.\1.0\2"),
    (r"decode_head\.fpn_convs\.(\d)\.bn(\..*)", r"head.smooth.\1.1\2"),
    *mmseg.conv_module(r"decode_head\.fpn_bottleneck", "head.bottleneck"),
    (r"decode_head\.conv_seg(\..*)", r"head.classifier\1"),
    *mmseg.AUXILIARY,
)
_CIRKD_HEAD: Rules = (
    (r"head\.ppm_conv\.(\d)(\..*)", r"head.pyramid.levels.\1\2"),
    (r"head\.ppm_last_conv(\..*)", r"head.top\1"),
    (r"head\.fpn_in\.(\d)(\..*)", r"head.lateral.\1\2"),
    (r"head\.fpn_out\.(\d)\.0(\..*)", r"head.smooth.\1\2"),
    (r"head\.conv_last\.0(\..*)", r"head.bottleneck\1"),
    (r"head\.conv_last\.1(\..*)", r"head.classifier\1"),
    *cirkd.AUXILIARY,
)


def recognize_mmseg(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognise mmsegmentation's layout: Swin in its own names and merging order, or a ResNet."""
    if "decode_head.fpn_bottleneck.conv.weight" not in state:
        return None
    swin = which_swin(
        state,
        "backbone.patch_embed.projection.weight",
        "backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table",
        r"backbone\.stages\.{}\.blocks\.(\d+)\..*",
    )
    body = (swin, "mmseg", SWIN_MMSEG) if swin else mmseg.resnet_body(state)
    if body is None:
        return None
    backbone, family, rules = body
    state = original_merging(state) if swin else state
    width = mmseg.auxiliary_width(state)
    return _found("mmsegmentation-upernet", (backbone, family, width), state, (*rules, *_MMSEG_HEAD))


def recognize_swin(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognise the layout of the Swin authors' fork, which SegDistill has too."""
    swin = which_swin(
        state,
        "backbone.patch_embed.proj.weight",
        "backbone.layers.0.blocks.0.attn.relative_position_bias_table",
        r"backbone\.layers\.{}\.blocks\.(\d+)\..*",
    )
    if swin is None or "decode_head.fpn_bottleneck.conv.weight" not in state:
        return None
    return _found("swin", (swin, "mmseg", mmseg.auxiliary_width(state)), state, (*SWIN_ORIGINAL, *_MMSEG_HEAD))


def recognize_cirkd(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognise CIRKD's layout, full and lite."""
    body = cirkd.body(state)
    if body is None or "head.ppm_last_conv.0.weight" not in state:
        return None
    backbone, family, rules = body
    return _found("cirkd-upernet", (backbone, family, cirkd.auxiliary_width(state)), state, (*rules, *_CIRKD_HEAD))


def _found(name: str, what: tuple[str, str, int], state: Mapping[str, Tensor], rules: Rules) -> Recognized:
    ours, unused = rename(state, rules)
    backbone, family, auxiliary = what
    levels, width = len(ours["head.pyramid.levels.0.0.weight"]), len(ours["head.top.0.weight"])
    options: dict[str, Any] = {
        "num_classes": len(ours["head.classifier.weight"]),
        "backbone": backbone,
        "family": family,
        "channels": width if levels == width else (levels, width),
        "auxiliary_channels": auxiliary,
    }
    return Recognized(name, "upernet", options, ours, unused)
