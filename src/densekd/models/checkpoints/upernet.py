"""UPerNets: mmsegmentation's on Swin and ResNet, the Swin authors' (and SegDistill's), CIRKD's."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from densekd.models.checkpoints import cirkd, mmseg
from densekd.models.checkpoints.layout import Recognized, Rules, rename
from densekd.models.checkpoints.parts import Body
from densekd.models.checkpoints.transformers import SWIN_MMSEG, SWIN_ORIGINAL, original_merging, which_swin

# psp_modules are the pooled levels, bottleneck joins them with the deepest map; lateral_convs and
# fpn_convs are the pyramid's, fpn_bottleneck joins its levels.
_MMSEG_HEAD: Rules = (
    *mmseg.conv_module(r"decode_head\.psp_modules\.(\d)\.1", r"head.pyramid.levels.\1", group=2),
    *mmseg.conv_module(r"decode_head\.bottleneck", "head.top"),
    *mmseg.conv_module(r"decode_head\.lateral_convs\.(\d)", r"head.lateral.\1", group=2),
    *mmseg.conv_module(r"decode_head\.fpn_convs\.(\d)", r"head.smooth.\1", group=2),
    *mmseg.conv_module(r"decode_head\.fpn_bottleneck", "head.bottleneck"),
    (r"decode_head\.conv_seg(\..*)", r"head.classifier\1"),
    *mmseg.AUXILIARY,
)
# ppm are the pooled levels, fpn_in the lateral convolutions, fpn_out those after the sum.
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
    """Recognize mmsegmentation's layout: Swin in its own names and merging order, or a ResNet."""
    if "decode_head.fpn_bottleneck.conv.weight" not in state:
        return None
    swin = which_swin(
        state,
        "backbone.patch_embed.projection.weight",
        "backbone.stages.0.blocks.0.attn.w_msa.relative_position_bias_table",
        r"backbone\.stages\.{}\.blocks\.(\d+)\..*",
    )
    if swin is None:
        body = mmseg.resnet_body(state)
    else:
        body = Body(swin, "mmseg", SWIN_MMSEG)
        state = original_merging(state)
    if body is None:
        return None
    width = mmseg.auxiliary_width(state)
    return _recognized("mmsegmentation-upernet", body, width, state, _MMSEG_HEAD)


def recognize_swin(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognize the layout of the Swin authors' fork, which SegDistill has too."""
    swin = which_swin(
        state,
        "backbone.patch_embed.proj.weight",
        "backbone.layers.0.blocks.0.attn.relative_position_bias_table",
        r"backbone\.layers\.{}\.blocks\.(\d+)\..*",
    )
    if swin is None or "decode_head.fpn_bottleneck.conv.weight" not in state:
        return None
    body = Body(swin, "mmseg", SWIN_ORIGINAL)
    return _recognized("swin", body, mmseg.auxiliary_width(state), state, _MMSEG_HEAD)


def recognize_cirkd(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognize CIRKD's layout, full and lite."""
    body = cirkd.body(state)
    if body is None or "head.ppm_last_conv.0.weight" not in state:
        return None
    return _recognized("cirkd-upernet", body, cirkd.auxiliary_width(state), state, _CIRKD_HEAD)


def _recognized(name: str, body: Body, auxiliary: int, state: Mapping[str, Tensor], head: Rules) -> Recognized:
    ours, unused = rename(state, (*body.rules, *head))
    # CIRKD's lite has pooled levels of another width than all else.
    levels = len(ours["head.pyramid.levels.0.0.weight"])
    width = len(ours["head.top.0.weight"])
    options: dict[str, Any] = {
        "num_classes": len(ours["head.classifier.weight"]),
        "backbone": body.backbone,
        "family": body.family,
        "channels": width if levels == width else (levels, width),
        "auxiliary_channels": auxiliary,
    }
    return Recognized(name, "upernet", options, ours, unused)
