"""SegFormers: NVlabs' (and SegDistill's), mmsegmentation's and CIRKD's, which are three different networks."""

from collections.abc import Mapping

from torch import Tensor

from densekd.models.checkpoints.layout import Recognized, Rules, rename
from densekd.models.checkpoints.transformers import MIT_MMSEG, mit, plain_mit, which_mit


def _linear_head(prefix: str) -> Rules:
    return tuple((rf"{prefix}linear_c{k + 1}\.proj(\..*)", rf"head.projections.{k}\1") for k in range(4))


_NVLABS: Rules = (
    *mit(r"backbone\."),
    *_linear_head(r"decode_head\."),
    (r"decode_head\.linear_fuse\.conv(\..*)", r"head.bottleneck.0\1"),
    (r"decode_head\.linear_fuse\.bn(\..*)", r"head.bottleneck.1\1"),
    (r"decode_head\.linear_pred(\..*)", r"head.classifier\1"),
    (r"decode_head\.conv_seg\..*", None),
)
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
    """Recognise NVlabs' and SegDistill's layout."""
    backbone = which_mit(state, "backbone.patch_embed1.proj.weight", r"backbone\.block{}\.(\d+)\..*", 1)
    if backbone is None or "decode_head.linear_fuse.conv.weight" not in state:
        return None
    return _found("nvlabs", "nvlabs", backbone, state, _NVLABS)


def recognize_cirkd(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognise CIRKD's layout, whose names have no prefix."""
    backbone = which_mit(state, "patch_embed1.proj.weight", r"block{}\.(\d+)\..*", 1)
    if backbone is None or "linear_fuse.0.weight" not in state:
        return None
    return _found("cirkd-segformer", "cirkd", backbone, state, _CIRKD)


def recognize_mmseg(state: Mapping[str, Tensor]) -> Recognized | None:
    """Recognise mmsegmentation's layout, 0.19 and later."""
    backbone = which_mit(state, "backbone.layers.0.0.projection.weight", r"backbone\.layers\.{}\.1\.(\d+)\..*", 0)
    if backbone is None or "decode_head.fusion_conv.conv.weight" not in state:
        return None
    return _found("mmsegmentation-segformer", "mmseg", backbone, plain_mit(state), _MMSEG)


def _found(name: str, family: str, backbone: str, state: Mapping[str, Tensor], rules: Rules) -> Recognized:
    ours, unused = rename(state, rules)
    # Linear layers of the head are 1x1 convolutions here.
    ours = {k: v[..., None, None] if k.startswith("head.proj") and v.dim() == 2 else v for k, v in ours.items()}
    options = {
        "num_classes": len(ours["head.classifier.weight"]),
        "backbone": backbone,
        "family": family,
        "channels": len(ours["head.bottleneck.0.weight"]),
    }
    return Recognized(name, "segformer", options, ours, unused)
