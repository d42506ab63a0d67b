"""SegFormers of NVlabs (and SegDistill), mmsegmentation and CIRKD: three different networks."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from densekd.models.checkpoints.layout import Recognized, Rules, rename
from densekd.models.checkpoints.transformers import MIT_MMSEG, mit, plain_mit, which_mit


def _linear_head(prefix: str) -> Rules:
    """Rules for the four linear projections, which count from 1."""
    rules = []
    for k in range(4):
        rules.append((rf"{prefix}linear_c{k + 1}\.proj(\..*)", rf"head.projections.{k}\1"))
    return tuple(rules)


_NVLABS: Rules = (
    *mit(r"backbone\."),
    *_linear_head(r"decode_head\."),
    (r"decode_head\.linear_fuse\.conv(\..*)", r"head.bottleneck.0\1"),
    (r"decode_head\.linear_fuse\.bn(\..*)", r"head.bottleneck.1\1"),
    (r"decode_head\.linear_pred(\..*)", r"head.classifier\1"),
    # mmsegmentation's base class makes it; SegFormer never runs it.
    (r"decode_head\.conv_seg\..*", None),
)
# The decoder is a part of the encoder's module there, so nothing has a prefix.
_CIRKD: Rules = (
    *mit(""),
    *_linear_head(""),
    (r"linear_fuse(\..*)", r"head.bottleneck\1"),
    (r"linear_pred(\..*)", r"head.classifier\1"),
)
_MMSEG: Rules = (
    *MIT_MMSEG,
    (r"decode_head\.convs\.(\d)\.conv(\..*)", r"head.projections.\1.0\2"),
    (r"decode_head\.convs\.(\d)\.bn(\..*)", r"head.projections.\1.1\2"),
    (r"decode_head\.fusion_conv\.conv(\..*)", r"head.bottleneck.0\1"),
    (r"decode_head\.fusion_conv\.bn(\..*)", r"head.bottleneck.1\1"),
    (r"decode_head\.conv_seg(\..*)", r"head.classifier\1"),
)


def recognize_nvlabs(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognize NVlabs' and SegDistill's layout."""
    embedding = "backbone.patch_embed1.proj.weight"
    backbone = which_mit(state, embedding, r"backbone\.block{}\.(\d+)\..*", first=1)
    if backbone is None or "decode_head.linear_fuse.conv.weight" not in state:
        return None
    options = {"backbone": backbone, "family": "nvlabs"}
    return _recognized("nvlabs", options, state, _NVLABS)


def recognize_cirkd(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognize CIRKD's layout, whose names have no prefix."""
    embedding = "patch_embed1.proj.weight"
    backbone = which_mit(state, embedding, r"block{}\.(\d+)\..*", first=1)
    if backbone is None or "linear_fuse.0.weight" not in state:
        return None
    options = {"backbone": backbone, "family": "cirkd"}
    return _recognized("cirkd-segformer", options, state, _CIRKD)


def recognize_mmseg(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognize mmsegmentation's layout, 0.19 and later."""
    embedding = "backbone.layers.0.0.projection.weight"
    backbone = which_mit(state, embedding, r"backbone\.layers\.{}\.1\.(\d+)\..*", first=0)
    if backbone is None or "decode_head.fusion_conv.conv.weight" not in state:
        return None
    options = {"backbone": backbone, "family": "mmseg"}
    return _recognized("mmsegmentation-segformer", options, plain_mit(state), _MMSEG)


def _recognized(name: str, options: dict[str, Any], state: Mapping[str, Tensor], rules: Rules) -> Recognized:
    renamed, unused = rename(state, rules)
    ours = {}
    for key, value in renamed.items():
        # Linear layers of the head are 1x1 convolutions here.
        linear = key.startswith("head.projections") and value.dim() == 2
        ours[key] = value[..., None, None] if linear else value
    options = {
        "num_classes": len(ours["head.classifier.weight"]),
        **options,
        "channels": len(ours["head.bottleneck.0.weight"]),
    }
    return Recognized(name, "segformer", options, ours, unused)
